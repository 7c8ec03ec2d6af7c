"""What the studio finds, and that it finds nothing else."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from kaogan.core.errors import UsageError
from kaogan.generate.model_io import MODELS
from kaogan.studio.index import AVATARS, DEPTH, ModelIndex


def model(folder: Path) -> None:
    """What looks like a model: nothing is opened by a search."""
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).touch()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "inside"
    model(folder / "runs/a/model")
    for name in ("recipe.yaml", "data.json"):
        (folder / "runs/a" / name).write_text("{}")
    model(folder / "one")
    (folder / "pictures").mkdir()
    for number in range(8):
        (folder / "pictures" / f"{number}.PNG").touch()
    return folder


def test_models_runs_and_sets(folder, home):
    found = ModelIndex([folder]).found()
    assert list(found.models) == ["one", "runs/a"] and found.models["runs/a"] == folder / "runs/a/model"
    assert found.runs == {"runs/a": folder / "runs/a"} and list(found.sets) == ["pictures"]
    assert list(ModelIndex([home]).found().sets) == ["avatars"], "the set, not its folder of pictures"


def test_files_of_directions_tell_what_they_are(folder, home):
    (folder / "other.safetensors").write_bytes(b"none")
    (folder / "pictures/mine.safetensors").write_bytes((home / "mine.safetensors").read_bytes())
    (folder / "link.safetensors").symlink_to(home / "mine.safetensors")
    found = ModelIndex([folder]).found().directions
    assert found == {"pictures/mine.safetensors": folder / "pictures/mine.safetensors"}
    assert list(ModelIndex([home]).found().directions) == ["mine.safetensors", "odd.safetensors"]


def test_words_of_further_folders_begin_with_their_name(folder, tmp_path):
    model(tmp_path / "more/one")
    model_index = ModelIndex([folder, tmp_path / "more"])
    assert model_index.model("more/one") == tmp_path / "more/one" and model_index.model("one") == folder / "one"


def test_the_shipped_model_comes_after_those_of_the_folder(folder, tmp_path):
    assert list(ModelIndex([folder]).found().all_models) == ["one", "runs/a", "kao"]
    assert ModelIndex([folder]).model("kao") == MODELS / "kao"
    model(folder / "kao")
    assert ModelIndex([folder]).model("kao") == folder / "kao", "a model of one's own wins"
    (tmp_path / "empty").mkdir()
    assert list(ModelIndex([tmp_path / "empty"]).found().all_models) == ["kao"]


def test_a_folder_that_is_a_model_itself(folder):
    assert list(ModelIndex([folder / "one"]).found().models) == ["one"]


def test_links_and_hidden_and_deep_folders_are_left_alone(folder, tmp_path):
    model(tmp_path / "outside")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "half").mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / "half" / name).symlink_to(tmp_path / "outside" / name)
    model(folder / ".hidden")
    model(folder.joinpath(*"abcdefgh"[: DEPTH + 1]))
    assert list(ModelIndex([folder]).found().models) == ["one", "runs/a"]


@pytest.mark.parametrize("name", ["../outside", "/etc", "one/../one", "", "on"])
def test_only_words_of_the_list_can_be_asked_for(folder, tmp_path, name):
    model(tmp_path / "outside")
    with pytest.raises(UsageError, match="no model"):
        ModelIndex([folder]).model(name)


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        ModelIndex([tmp_path / "nothing"])


def test_the_studio_opens_on_the_model_that_was_written_last(folder, tmp_path):
    for name, when in (("one/model.safetensors", 2000), ("runs/a/model/model.safetensors", 1000)):
        os.utime(folder / name, (when, when))
    assert ModelIndex([folder]).found().opening == "one"
    os.utime(folder / "runs/a/model/model.safetensors", (3000, 3000))
    assert ModelIndex([folder]).found().opening == "runs/a"
    (tmp_path / "empty").mkdir()
    assert ModelIndex([tmp_path / "empty"]).found().opening == "kao"


def test_it_opens_on_the_best_of_the_newest_run_where_that_was_measured_fairly(folder):
    run = folder / "runs/a"
    model(run / "best")
    os.utime(run / "model/model.safetensors", (2**32, 2**32))

    def opening(features: str, against: list[str]) -> str | None:
        (run / "recipe.yaml").write_text(json.dumps({"eval": {"features": features}}))
        (run / "best/config.json").write_text(json.dumps({"trained_against": against}))
        return ModelIndex([folder]).found().opening

    assert opening("efficientnet", ["tagger"]) == "runs/a/best" and opening("tagger", ["tagger"]) == "runs/a"
    os.utime(run / "best/model.safetensors", (2**32 + 1, 2**32 + 1))
    assert opening("tagger", ["tagger"]) == "runs/a" and opening("tagger", []) == "runs/a/best"
    os.utime(folder / "one/model.safetensors", (2**32 + 2, 2**32 + 2))
    assert opening("efficientnet", []) == "one", "a newer model of another place"


def test_zips_of_pictures_are_sets(folder):
    with zipfile.ZipFile(folder / "faces.zip", "w") as opened:
        for number in range(8):
            opened.writestr(f"{number}.png", b"")
    with zipfile.ZipFile(folder / "few.zip", "w") as opened:
        opened.writestr("0.png", b"")
    (folder / "broken.zip").write_bytes(b"PK")
    found = ModelIndex([folder]).found()
    assert found.sets == {"faces.zip": folder / "faces.zip", "pictures": folder / "pictures"}
    assert found.set_of("one", {"name": "faces.zip"}) == "faces.zip"


def test_the_set_of_a_model_is_that_of_its_run_or_of_its_own_account(folder):
    found = ModelIndex([folder]).found()
    assert found.set_of("one", {"name": "pictures.zip"}) == "pictures" == found.set_of("one", {"name": "pictures"})
    assert found.set_of("one", {"name": "others"}) == "" == found.set_of("runs/a", {})
    assert found.set_of("one", {"name": "avatars"}) == AVATARS and found.set_of("kao", {"name": "getchu.zip"}) == ""
    (folder / "runs/a/data.json").write_text(json.dumps({"source": str(folder / "pictures")}))
    assert found.set_of("runs/a", {"name": "others"}) == "pictures" == found.set_of("runs/a/best", {})
