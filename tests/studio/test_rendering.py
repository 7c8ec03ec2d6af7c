"""The pictures of the page are those of kaogan's own functions."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kaogan.core.errors import KaoganError, UsageError
from kaogan.generate import explore
from kaogan.generate.model import load
from kaogan.studio import rendering
from kaogan.studio.params import FaceId, RenderParams
from kaogan.studio.rendering import LoadedModel
from tests.generate.conftest import filtered, tiny_model
from tests.generate.explore.conftest import styled_model
from tests.studio.conftest import Served


def plain(name: str, moves: dict | None = None, **attributes) -> RenderParams:
    return RenderParams(FaceId.parse(name), attributes, moves or {})


def no_file(name: str) -> Path:
    raise UsageError(f"no file '{name}'")


@pytest.fixture(scope="module", params=[tiny_model, styled_model])
def loaded(request):
    return LoadedModel(request.param(), (), no_file)


def test_a_face_of_the_grid_is_the_same_one_alone(loaded):
    together = rendering.faces(loaded, 5, 4, 0.7, {"hair": "white"})
    assert (rendering.one(loaded, plain("5.3", hair="white"), 0.7)[0] == together[3]).all()


def test_neighbours_differ_more_the_farther_they_are(loaded):
    render_params = plain("5.3", hair="orange")
    middle = rendering.one(loaded, render_params, 1.0).astype(float)
    means = []
    for percent in (1, 30, 100):
        named, made = rendering.around(loaded, render_params, 6, percent, 1.0)
        assert [str(face) for face in named][:2] == [f"5.3~{percent}.0", f"5.3~{percent}.1"]
        assert (rendering.one(loaded, RenderParams(named[2], render_params.attributes, {}), 1.0)[0] == made[2]).all()
        means.append(np.abs(made - middle).mean())
    assert means[0] < means[1] < means[2]


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_a_step_keeps_to_the_distribution_of_the_latents(distribution):
    loaded = LoadedModel(tiny_model(distribution=distribution), (), no_file)
    far = [rendering.point_of(loaded, plain(f"0.0~50.{number}~50.1~50.2")).z for number in range(300)]
    if distribution == "uniform":
        assert torch.stack(far).abs().max() <= 1
    lengths = torch.stack([z.norm() for z in far])
    drawn = loaded.model.latents(300, 1).norm(dim=1)
    assert 0.93 < lengths.mean() / drawn.mean() < 1.07


def test_moves_are_those_of_the_directions(loaded):
    moved = rendering.point_of(loaded, plain("5.3", {"sefa-2": 1.5}))
    directions = explore.find_directions(loaded.model, "sefa", 8 if loaded.model.has_style_space else 6)
    expected = directions.bind(loaded.model).move(explore.point(loaded.model, 5, 3), "sefa-2", 1.5)
    assert (explore.render(loaded.model, [moved]) == explore.render(loaded.model, [expected])).all()
    with pytest.raises(UsageError, match="unknown direction"):
        rendering.point_of(loaded, plain("5.3", {"sefa-99": 1.0}))


def test_moves_by_a_file_of_directions(loaded, tmp_path):
    found = explore.find_directions(loaded.model, "sefa", 2)
    mine = replace(found, names=("smile", "sefa-1"), vectors=found.vectors.flip(0))
    mine.save(tmp_path / "mine.safetensors")
    other = explore.Directions("z", ("smile",), torch.eye(9)[:1], torch.ones(1), "hand")
    other.save(tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_text("x")
    files = {path.name: path for path in sorted(tmp_path.iterdir())}
    there = LoadedModel(loaded.model, (), lambda name: files[name])
    assert rendering.fitting(there, files) == ["mine.safetensors"]
    for name in ("smile", "sefa-1"):
        render_params = replace(plain("5.3", {name: 1.5}), source="file:mine.safetensors")
        start = explore.point(loaded.model, 5, 3)
        expected = explore.render(loaded.model, [mine.bind(loaded.model).move(start, name, 1.5)])
        assert (rendering.one(there, render_params, 1.0) == expected).all()
    with pytest.raises(UsageError, match="belong to another model"):
        rendering.one(there, replace(render_params, source="file:other.safetensors"), 1.0)
    with pytest.raises(UsageError, match="no file 'x'"):
        rendering.one(loaded, replace(render_params, source="file:x"), 1.0)


def test_a_morph_goes_from_one_look_to_the_other(loaded):
    first, last = plain("5.3", hair="orange"), plain("9.0", {"sefa-1": 1.0}, hair="white")
    frames = rendering.morph(loaded, first, last, 5, 0.8)
    ends = np.concatenate([rendering.one(loaded, render_params, 0.8) for render_params in (first, last)])
    assert np.abs(frames[[0, -1]].astype(int) - ends.astype(int)).max() <= 1
    assert (frames[2] != frames[0]).any() and (frames[2] != frames[-1]).any()


def test_a_looping_film_has_a_frame_for_each_step(loaded, tmp_path):
    stops, seen = [plain("5.0"), plain("5.1"), plain("5.2")], []
    path = rendering.walk_film(loaded, stops, 4, True, 1.0, tmp_path / "a.webp", 20, lambda *step: seen.append(step))
    with Image.open(path) as film:
        assert film.n_frames == 12 and film.size == (256, 256)
    assert seen[-1] == (11, 12)


def test_a_zip_has_all_pictures_and_what_they_are(loaded):
    made = rendering.faces(loaded, 1, 3, 1.0, {})
    packed = zipfile.ZipFile(io.BytesIO(rendering.archive(made, ["1.0", "1.1", "1.2"], {"seed": "1"})))
    assert packed.namelist() == ["1.0.png", "1.1.png", "1.2.png", "sheet.png", "settings.json"]
    assert json.loads(packed.read("settings.json")) == {"seed": "1"} and packed.read("1.2.png") == rendering.png(
        made[2]
    )


def test_models_are_loaded_once_anew_when_changed_and_not_too_many(home, tmp_path, monkeypatch):
    model = load(home / "tiny")
    monkeypatch.setattr(rendering, "load", lambda path: model)
    models = rendering.ModelCache(lambda name: tmp_path / name)
    folders = [shutil.copytree(home / "tiny", tmp_path / str(number)) for number in range(rendering.MAX_MODELS + 1)]
    first = models.get(folders[0])
    assert models.get(folders[0]) is first
    (folders[0] / "config.json").touch()
    again = models.get(folders[0])
    assert again is not first
    for folder in folders[1:]:
        models.get(folder)
    assert models.get(folders[0]) is not again, "the one used least recently was let go"
    (folders[1] / "config.json").unlink()
    with pytest.raises(KaoganError, match="is gone"):
        models.get(folders[1])


def test_upscaling_is_offered_only_where_it_is(loaded, monkeypatch):
    monkeypatch.setattr(rendering, "_UPSCALERS", [None])
    assert rendering.capabilities()["scales"] == []
    with pytest.raises(UsageError, match="no upscaler"):
        rendering.one(loaded, plain("0.0"), 1.0, 4)

    class Twice:
        scales = (2,)

        def upscale(self, pictures, scale):
            return pictures.repeat(scale, 1).repeat(scale, 2)

    monkeypatch.setattr(rendering, "_UPSCALERS", [Twice()])
    assert rendering.one(loaded, plain("0.0"), 1.0, 2).shape == (1, 32, 32, 3)
    with pytest.raises(UsageError, match="must be one of 2, not 3"):
        rendering.one(loaded, plain("0.0"), 1.0, 3)
    with pytest.raises(UsageError, match="too large"):
        rendering.upscaled(np.zeros((1, 600, 600, 3), np.uint8), 2)


def test_what_a_filter_leaves_out_can_be_asked_for(tmp_path):
    blank = np.zeros((8, 8, 3), np.uint8)
    model = filtered()
    model.save(tmp_path / "m", preview=blank)
    served = Served(tmp_path)
    try:
        assert served.call("/api/model", model="m")[1]["keep"] == 0.8
        for words, keep in (({}, None), ({"keep": 1}, 1), ({"keep": 0.3}, 0.3)):
            _, found, _ = served.call("/api/faces", model="m", seed=2, count=4, **words)
            expected = [rendering.data_url(picture) for picture in model.sample(4, seed=2, keep=keep)]
            assert [face["picture"] for face in found["faces"]] == expected
        assert "the keep must be a number" in served.call("/api/faces", model="m", keep="x")[1]["error"]
    finally:
        served.close()
