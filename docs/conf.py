"""The site of the documents: ``make docs`` writes docs/_build/html."""

from kaogan.version import __version__

project = "kaogan"
copyright = "the authors of kaogan, Apache-2.0"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "gallery/models", "package.md"]
root_doc = "index"
html_theme = "furo"
html_title = "kaogan"
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
nitpicky = False
# Furo loads nothing from elsewhere; neither does anything here.
html_show_sphinx = False
