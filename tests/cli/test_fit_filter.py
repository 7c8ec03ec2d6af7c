"""kaogan fit-filter, and --keep of the commands that draw."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaogan.core.schema import Schema
from kaogan.data.avatars import write_set
from kaogan.generate.latent_filter import FILTER
from kaogan.generate.model import load
from tests.cli.conftest import Run, refused
from tests.generate.conftest import filtered, tiny_model


def test_a_filter_is_fitted_into_the_folder(run: Run, tmp_path: Path) -> None:
    folder = tiny_model(Schema()).save(tmp_path / "m")
    write_set(tmp_path / "faces", 100, 16)
    for data, keep, what in ((), 0.5, "the eye judge"), (("--data", "faces"), 0.8, "the distance to real pictures"):
        words = ("fit-filter", folder, *data, "--samples", "100", "--force")
        said = run(*words)
        assert said.code == 0, said
        assert "on latents not learnt from: r = " in said.out and said.out.endswith(f"{folder / FILTER}\n")
        assert f"mean of {what}, less is better: kept " in said.out
        first = (folder / FILTER).read_bytes()
        card = (folder / "README.md").read_text()
        assert load(folder, "cpu").keep == keep and card.count("| latent filter |") == 1
        assert f"the best {keep:.0%} of the latents" in card
        again = run(*words)
        assert again.code == 0 and "in place of a filter with r = " in again.out
        assert (folder / FILTER).read_bytes() == first


def test_what_cannot_be_fitted_is_told(run: Run, tmp_path: Path) -> None:
    refused(run("fit-filter"), 2, "name a model, as in")
    folder = tiny_model(Schema()).save(tmp_path / "m")
    refused(run("fit-filter", folder, "--data", "nowhere"), 2, "nowhere")
    refused(run("fit-filter", folder, "--references", "200"), 2, "--data SET")
    write_set(tmp_path / "faces", 24, 16)
    refused(run("fit-filter", folder, "--data", "faces", "--references", "0"), 2, "and 0 are asked for")
    refused(run("fit-filter", "kao"), 2, "kao comes with kaogan and stays as it is")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "README.md").write_bytes(b"\xff")
    refused(
        run("fit-filter", folder, "--samples", "100", "--force"), 1, "README.md is not text, so nothing was written"
    )
    (folder / "README.md").write_bytes(before["README.md"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_keep_of_sample(run: Run, tmp_path: Path) -> None:
    folder = filtered().save(tmp_path / "m")
    plain = tiny_model(Schema()).save(tmp_path / "plain")
    for name, words in {
        "usual": [folder], "best": [folder, "--keep", "0.8"], "half": [folder, "--keep", "0.5"],
        "all": [folder, "--keep", "1"], "plain": [plain],
    }.items():  # fmt: skip
        assert run("sample", *words, "--count", "9", "--out", f"{name}.png").code == 0
    usual, best, half, every, unfiltered = (
        (tmp_path / f"{name}.png").read_bytes() for name in ("usual", "best", "half", "all", "plain")
    )
    assert usual == best != half != every and every == unfiltered != usual
    refused(run("sample", plain, "--keep", "0.8"), 2, "fit-filter")
    (folder / FILTER).write_bytes(b"damaged")
    refused(run("sample", folder), 1, "kaogan fit-filter")
    for processes in ("1", "2"):
        words = ("--keep", "1", "--count", "9", "--processes", processes, "--out", "again.png")
        assert run("sample", folder, *words).code == 0, "it is not looked at"
        assert (tmp_path / "again.png").read_bytes() == every


@pytest.mark.parametrize("keep", ["0", "1.5", "nan", "x"])
def test_what_is_no_share_is_refused(run: Run, tmp_path: Path, keep: str) -> None:
    refused(run("sample", filtered().save(tmp_path / "m"), "--keep", keep), 2, "keep")
