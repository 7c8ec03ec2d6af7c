"""One safetensors file, the folder for the Hub, and the words of the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.torch import save_file
from typer.testing import CliRunner

import kaogan
from kaogan.cli import app
from kaogan.core.errors import KaoganError, UsageError
from kaogan.generate.model import Model
from kaogan.share.export import export_hub, export_safetensors, push
from tests.generate.conftest import filtered


@pytest.fixture(scope="module")
def saved(coded: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coded.save(tmp_path_factory.mktemp("models") / "tiny")


def test_one_file_is_a_whole_model(coded: Model, tmp_path: Path) -> None:
    path = export_safetensors(coded, tmp_path / "faces")
    assert path.name == "faces.safetensors"
    again = kaogan.load(path)
    assert again.config == coded.config and again.attributes == coded.attributes
    assert (again.sample(4, seed=2, hair="white") == coded.sample(4, seed=2, hair="white")).all()
    half = export_safetensors(again, tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < path.stat().st_size
    assert np.abs(kaogan.load(half).sample(4).astype(int) - coded.sample(4)).max() <= 4


def test_files_that_are_no_whole_model_are_refused(coded: Model, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file({"a": coded.latents(1)}, weights)
    with pytest.raises(UsageError, match=r"weights without kaogan's configuration"):
        kaogan.load(weights)
    whole = export_safetensors(coded, tmp_path / "whole.safetensors")
    for name, content in {"cut": whole.read_bytes()[:-100], "noise": b"\xff" * 64}.items():
        bad = tmp_path / f"{name}.safetensors"
        bad.write_bytes(content)
        with pytest.raises(KaoganError, match="damaged or cut short"):
            kaogan.load(bad)
    strange = tmp_path / "strange.safetensors"
    save_file({"a": coded.latents(1)}, strange, {"kaogan": "[1]"})
    with pytest.raises(KaoganError, match="not the configuration of a kaogan model"):
        kaogan.load(strange)


def test_the_folder_for_the_hub(coded: Model, tmp_path: Path) -> None:
    folder = export_hub(coded, tmp_path / "hub", license="cc-by-4.0", repository="me/faces")
    assert {each.name for each in folder.iterdir()} == {"README.md", "config.json", "model.safetensors", "preview.png"}
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["license"] == "cc-by-4.0" and head["library_name"] == "kaogan" and "conditional" in head["tags"]
    assert 'kaogan.load(snapshot_download("me/faces"))' in text
    assert (kaogan.load(folder).sample(2) == coded.sample(2)).all()
    with pytest.raises(UsageError, match="exists"):
        export_hub(coded, folder)
    with pytest.raises(UsageError, match="spelt USER/NAME"):
        export_hub(coded, tmp_path / "other", repository="faces")
    with pytest.raises(UsageError, match="no licence of the Hub"):
        export_hub(coded, tmp_path / "other", license="MIT License")
    assert [each.name for each in tmp_path.iterdir()] == ["hub"]


def test_a_filter_goes_to_the_hub_and_stays_out_of_one_file(tmp_path: Path) -> None:
    model = filtered()
    for half in (False, True):
        again = kaogan.load(export_hub(model, tmp_path / f"hub{half}", half=half))
        assert again.keep == 0.8 and (again.latents(9, seed=1) == model.latents(9, seed=1)).all()
    assert "latent filter" in (tmp_path / "hubTrue/README.md").read_text()
    single = kaogan.load(export_safetensors(model, tmp_path / "one"))
    assert single.keep == 1 and (single.sample(3) == model.sample(3, keep=1)).all()


def test_pushing_is_one_line_when_it_fails(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    said: list[str] = []

    class Api:
        trouble: Exception | None = None

        def create_repo(self, name: str, exist_ok: bool) -> str:
            if self.trouble:
                raise self.trouble
            return f"https://hub/{name}"

        def upload_folder(self, *, folder_path: Any, repo_id: str, commit_message: str) -> None:
            said.append(f"{Path(folder_path).name} to {repo_id}")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert push(saved, "me/faces") == "https://hub/me/faces" and said == ["tiny to me/faces"]
    Api.trouble = OSError("no route to\nhost")
    with pytest.raises(KaoganError, match=r"no route to host.*is there a network\?.*is ready"):
        push(saved, "me/faces")
    Api.trouble = RuntimeError("401 Client Error")
    with pytest.raises(KaoganError, match="hf auth login"):
        push(saved, "me/faces")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "onxx"], "unknown kind 'onxx' (did you mean 'onnx'?)"),
        (["--to", "onnx", "--push", "me/faces"], "--push is for hub, not for onnx"),
        (["--to", "hub", "--title", "Faces"], "--title is for web, not for hub"),
        (["--to", "state-dict"], "--to state-dict needs the program"),
        (["--to", "web", "--seed", "-1"], "the seed of a page must be"),
        (["--to", "hub", "--push", "faces"], "'faces' is no repository of the Hub"),
    ],
)
def test_wrong_words(saved: Path, words: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(saved), "--out", str(tmp_path / "out"), *words])
    assert isinstance(result.exception, UsageError) and message in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_and_says_where(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.safetensors"
    result = CliRunner().invoke(app, ["export", str(saved), "--to", "safetensors", "--half", "--out", str(out)])
    assert result.exit_code == 0 and "one.safetensors" in result.output and out.is_file()
    foreign = tmp_path / "netG.pth"
    foreign.write_bytes(b"x")
    result = CliRunner().invoke(app, ["export", str(foreign), "--to", "hub"])
    assert "imported first" in str(result.exception)
    blocked = CliRunner().invoke(
        app, ["export", str(saved), "--to", "safetensors", "--out", str(out / "x.safetensors")]
    )
    assert isinstance(blocked.exception, KaoganError) and str(out) in str(blocked.exception)
