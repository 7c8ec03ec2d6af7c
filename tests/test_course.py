"""The notebooks of docs/course: every cell runs, at a tiny size, and the files are kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.write_reference import course_page, notebook, repository

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "docs/course").glob("*.ipynb"))


@pytest.mark.timeout(600)  # half a minute on a quiet machine
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other in one kernel, which imports PyTorch once; each begins with no names."""
    monkeypatch.setenv("KAOGAN_TINY", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    joined = nbformat.v4.new_notebook()
    for path in NOTEBOOKS:
        joined.cells += [nbformat.v4.new_code_cell("%reset -f"), *nbformat.read(path, 4).cells]
    nbclient.NotebookClient(joined, timeout=None, kernel_name="python3").execute(cwd=str(tmp_path))
    outputs = [output for cell in joined.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    asked = [cell for cell in joined.cells if cell.cell_type == "code" and _shows_pictures(cell.source)]
    assert len(asked) > 10 and len(pictures) >= len(asked)
    told = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    (copied,) = [line for line in told.splitlines() if line.startswith("copied")]
    assert copied.split()[1:] == ["0.0", "1.00", "1.00", "1.00"]


def _shows_pictures(source: str) -> bool:
    return any(word in source.splitlines()[-1] for word in (".sample(", ".generate(", ".upscale(", "Image(", "draw("))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_as_jupyter_writes_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    nbformat.validate(notebook)
    assert text == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert "%pip install -q {KAOGAN}" in "".join(code[0]["source"])
    source = code[0]["source"][1].split('"')[1]
    assert source == f"git+{repository()}" if repository() else (path.parent / source / "pyproject.toml").is_file()


def test_an_address_in_pyproject_reaches_the_page_and_the_first_cells() -> None:
    page = course_page("https://github.com/somebody/kaogan")
    for path in NOTEBOOKS:
        where = f"github/somebody/kaogan/blob/main/docs/course/{path.name}"
        assert f"(https://colab.research.google.com/{where})" in page
        first = next(
            cell for cell in json.loads(notebook(path, "https://a.example/b"))["cells"] if cell["cell_type"] == "code"
        )
        assert first["source"][1] == 'KAOGAN = "git+https://a.example/b"\n'
    assert "colab" not in course_page("")
