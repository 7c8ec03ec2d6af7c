"""Image sources: which real pictures a model is to be measured against."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from kaogan.evaluation.image_sources import looks_one_way


def test_which_avatars_a_model_is_measured_against(tmp_path: Path) -> None:
    """Those that look one way, if its own did; any other model, and a folder, those that look both ways."""

    def model(name: str, **config: object) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        return tmp_path / name

    avatars, one_way = {"name": "avatars"}, {"data.avatars_mirrored": False}
    assert looks_one_way(model("one", data=avatars, settings=one_way))
    assert not looks_one_way(model("both", data=avatars, settings={"data.avatars_mirrored": True}))
    flipped = one_way | {"data.horizontal_flip": True}
    assert not looks_one_way(model("flipped", data=avatars, settings=flipped))
    one_file = tmp_path / "one.safetensors"
    save_file({}, one_file, {"kaogan": json.dumps({"data": avatars, "settings": one_way})})
    assert looks_one_way(one_file)
    assert not looks_one_way(model("older", data=avatars, settings={}))
    assert not looks_one_way(model("mine", data={"name": "mine"}, settings=one_way))
    assert not looks_one_way(model("broken", data=None)) and not looks_one_way(tmp_path)
