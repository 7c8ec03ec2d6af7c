"""The site of the documents: ``make docs`` writes docs/_build/html."""

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

from kaogan.version import __version__

project = "kaogan"
copyright = "the authors of kaogan, Apache-2.0"
release = version = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "gallery/models", "package.md"]
root_doc = "index"
html_theme = "furo"
html_title = "kaogan"
html_static_path = ["_static"]
html_css_files = ["site.css"]
myst_heading_anchors = 3
myst_enable_extensions = ["deflist", "dollarmath"]
nb_execution_mode = "off"  # tests/test_course.py runs the notebooks
html_math_renderer = "mathml"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
nitpicky = False
# Furo loads nothing from elsewhere; neither does anything here.
html_show_sphinx = False


def setup(app: Any) -> None:
    """Formulas as MathML, which browsers draw themselves; Sphinx's own way fetches a script."""

    def visit(translator: Any, node: Any) -> None:
        if isinstance(node, nodes.math_block):
            translator.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
        else:
            translator.body.append(convert(node.astext(), display="inline"))
        raise nodes.SkipNode

    app.add_html_math_renderer("mathml", (visit, None), (visit, None))
