"""The latent filter at the end of a training: when it is fitted, and what becomes of it when the run goes on."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from kaogan.cli._train_progress import run_training
from kaogan.generate import fit_filter
from kaogan.generate.latent_filter import FILTER
from kaogan.generate.model import Model, load
from kaogan.training import latent_filter
from tests.training.conftest import make_pictures
from tests.training.runs import RUN, contents, recipe, train

FILTERED: dict[str, Any] = {"run": {**RUN, "latent_filter": True}}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first image on, by 100 faces; of so few it foretells little."""
    monkeypatch.setattr(latent_filter, "FROM", 1)
    monkeypatch.setattr(latent_filter, "SAMPLES", 100)
    monkeypatch.setattr(latent_filter, "LEAST_SAMPLES", 100)
    monkeypatch.setattr(fit_filter, "LEAST_AGREEMENT", -1.0)


def test_a_run_that_asks_for_it_ends_with_one(tmp_path: Path) -> None:
    result = train(tmp_path / "run", **FILTERED)
    assert "drawn from the best 50% of the latents" in result.latent_filter
    model = load(tmp_path / "run/model", "cpu")
    assert model.keep == 0.5 and model.latent_filter is not None and model.latent_filter.by_eyes
    assert result.latent_filter in (tmp_path / "run/log.txt").read_text()
    before = (tmp_path / "run/model" / FILTER).read_bytes()
    again = train(tmp_path / "run", **FILTERED)
    assert again.finished and not again.latent_filter
    assert (tmp_path / "run/model" / FILTER).read_bytes() == before
    (tmp_path / "run/model" / FILTER).unlink()
    assert train(tmp_path / "run", **FILTERED).latent_filter, "as after an end that was cut short"
    assert (tmp_path / "run/model" / FILTER).read_bytes() == before


def test_a_run_that_goes_on_gets_another(tmp_path: Path) -> None:
    train(tmp_path / "run", **FILTERED)
    before = (tmp_path / "run/model" / FILTER).read_bytes()
    assert train(tmp_path / "run", images=64, **FILTERED).latent_filter
    assert (tmp_path / "run/model" / FILTER).read_bytes() != before
    assert load(tmp_path / "run/model", "cpu").keep == 0.5


def test_the_training_is_the_same_with_and_without(tmp_path: Path) -> None:
    train(tmp_path / "with", **FILTERED)
    assert not train(tmp_path / "without").latent_filter
    assert not (tmp_path / "without/model" / FILTER).exists()
    with_filter, without = contents(tmp_path / "with"), contents(tmp_path / "without")
    assert {key for key in without if with_filter[key] != without[key]} == {"model/preview.png"}


def test_none_where_it_would_be_of_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_filter, "LEAST_AGREEMENT", 1.1)
    told = train(tmp_path / "poor", **FILTERED).latent_filter
    assert told.startswith("no latent filter: the filter foretells too little")
    assert not (tmp_path / "poor/model" / FILTER).exists()
    monkeypatch.setattr(latent_filter, "FROM", 10_000)
    assert not train(tmp_path / "young", **FILTERED).latent_filter
    pictures = make_pictures()
    object.__setattr__(pictures, "source", latent_filter.AVATARS)
    monkeypatch.setattr(latent_filter, "FROM", 1)
    assert not train(tmp_path / "avatars", pictures=pictures, **FILTERED).latent_filter


def test_an_interruption_leaves_a_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_: object) -> Model:
        os.kill(os.getpid(), signal.SIGTERM)
        return load(tmp_path / "run/model", "cpu")

    told: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(latent_filter, "load", loaded)
        result = train(tmp_path / "run", on_stop=lambda: told.append("stopping"), **FILTERED)
    assert result.finished and result.latent_filter.startswith("stopped before the latent filter was fitted")
    assert told == ["stopping"] and load(tmp_path / "run/model", "cpu").keep == 1
    assert train(tmp_path / "run", **FILTERED).latent_filter.startswith("faces are drawn from")


def test_what_fails_then_is_told_and_the_training_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(latent_filter, "fit_filter", no_memory)
    result = train(tmp_path / "run", **FILTERED)
    assert result.finished and result.latent_filter.startswith("no latent filter: out of memory;")
    (tmp_path / "run/model" / FILTER).write_text("damaged")
    assert train(tmp_path / "run", **FILTERED).finished


def test_larger_faces_are_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(latent_filter, "SAMPLES", 20_000)
    monkeypatch.setattr(latent_filter, "LEAST_SAMPLES", 2_000)
    monkeypatch.setattr(latent_filter, "load", lambda *_: None)
    monkeypatch.setattr(latent_filter, "fit_filter", lambda _, samples, **__: asked.append(samples))
    monkeypatch.setattr(latent_filter, "save_filter", lambda *_: None)
    for size in (16, 64, 128, 1024):
        of_size = recipe(**FILTERED).model_copy(update={"image_size": size})
        with pytest.raises(AttributeError):  # of what was not fitted
            latent_filter.fit_at_end(of_size, SimpleNamespace(model=tmp_path), "set", 20_000)  # type: ignore[arg-type]
    assert asked == [20_000, 20_000, 5_000, 2_000]


def test_the_command_tells_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    console, pictures = Console(file=out, width=200), make_pictures()
    monkeypatch.setattr("kaogan.cli._train_progress.read_data", lambda *_: pictures)
    assert run_training(console, recipe(**FILTERED), None, tmp_path / "run", False) == 0
    said = out.getvalue()
    assert "fitting a latent filter; drawing faces: 120" in said
    assert "  faces are drawn from the best 50% of the latents" in said
    (tmp_path / "run/model" / FILTER).unlink()
    out.truncate(0)
    assert run_training(console, recipe(**FILTERED), None, tmp_path / "run", False) == 0
    assert "is finished: trained to" in out.getvalue() and "fitting a latent filter" in out.getvalue()
