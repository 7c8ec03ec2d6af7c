"""``kaogan compare``: one budget, one reference, a page that needs nothing but the run folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from kaogan.cli import app
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import Pictures
from kaogan.core.progress import no_progress
from kaogan.data.avatars import write_set
from kaogan.evaluation import compare as comparison
from kaogan.evaluation import runner as evaluation
from kaogan.evaluation.compare import Budget, Entry, compare, curve, metric
from kaogan.evaluation.leaderboard import write_leaderboard
from kaogan.metrics.features import FeaturesOnly
from kaogan.training import evaluator as in_training
from kaogan.training import plots

SMALL: dict[str, Any] = {
    "image_size": 16, "training.batch_size": 8, "generator.width": 4, "discriminator.width": 4,
    "run.grid_pictures": 4, "run.grid_every": 1000, "run.checkpoint_every": 1000, "run.device": "cpu",
    "run.precision": "fp32",
}  # fmt: skip


class Quarters(FeaturesOnly):
    name, label, size, fingerprint = "tagger", "tagger", 12, "q1"

    def __call__(self, pictures: Pictures) -> np.ndarray:
        n, h, w, _ = pictures.shape
        return pictures.reshape(n, 2, h // 2, 2, w // 2, 3).mean((2, 4), dtype=np.float64).reshape(n, 12).astype("f4")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("film", "loss_plot", "attribute_plot"):
        monkeypatch.setattr(plots, part, lambda *_: None)
    monkeypatch.setattr(evaluation, "load_extractor", lambda word, **_: Quarters())
    monkeypatch.setattr(in_training, "load_extractor", lambda word, **_: Quarters())
    monkeypatch.setattr(comparison, "load_extractor", lambda word, **_: Quarters())
    monkeypatch.setattr(comparison, "measuring_plan", lambda seconds, extractor: comparison.Plan(64, 2))


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("compared") / "faces", 60, 16)


@pytest.fixture
def run(faces: Path) -> Callable[..., list[Entry]]:
    def compared(out: Path, *subjects: str, **more: Any) -> list[Entry]:
        settings: dict[str, Any] = {
            "budget": Budget(32),
            "count": 60,
            "overrides": SMALL,
            "features": ("tagger",),
        } | more
        return compare(subjects, faces, out, **settings)

    return compared


Run = Callable[..., list[Entry]]


def test_two_recipes_two_seeds_and_the_page_alone(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    entries = run(out, "dcgan", "wgan-gp", seeds=2)
    assert [entry.name for entry in entries] == ["dcgan", "wgan-gp"]
    for entry in entries:
        assert [path.name for path in entry.runs] == ["seed-0", "seed-1"]
        assert len({(path / "model/model.safetensors").read_bytes() for path in entry.runs}) == 2
        lines = [json.loads((path / "metrics.jsonl").read_text()) for path in entry.runs]
        assert [line["subject"] for line in lines] == [f"{entry.name}, seed {number}" for number in range(len(lines))]
        assert len({line["data"]["fingerprint"] for line in lines}) == 1  # one reference, whatever the seed
        values = [line["metrics"]["fid/tagger"]["value"] for line in lines]
        mean = metric(entry.runs, "fid/tagger")
        assert mean is not None and mean.value == pytest.approx(np.mean(values))
        assert mean.high - mean.value == pytest.approx(12.706205 * np.std(values, ddof=1) / np.sqrt(2))
        assert [point.clock for point in curve(entry.runs)] == [16, 32]
    page = write_leaderboard(entries, out / "leaderboard.html").read_text()
    assert page.count("data:image/webp;base64,") == 2 and page.count("data:image/png;base64,") == 2

    monkeypatch.setattr(comparison, "train", None)  # neither trained nor measured again
    monkeypatch.setattr(comparison, "evaluate_one", None)
    moved = tmp_path / "moved"
    shutil.move(out, moved)
    again = compare([], None, moved, count=60)
    assert write_leaderboard(again, tmp_path / "again.html").read_text() == page


def test_the_same_command_again_only_measures_what_is_missing(run: Run, tmp_path: Path) -> None:
    run(tmp_path, "dcgan")
    line = (tmp_path / "dcgan/seed-0/metrics.jsonl").read_text()
    run(tmp_path, "dcgan")
    assert (tmp_path / "dcgan/seed-0/metrics.jsonl").read_text() == line
    run(tmp_path, "dcgan", count=70)
    assert len((tmp_path / "dcgan/seed-0/metrics.jsonl").read_text().splitlines()) == 2


def test_what_was_measured_otherwise_is_measured_anew(run: Run, tmp_path: Path) -> None:
    run(tmp_path, "dcgan")
    path = tmp_path / "dcgan/seed-0/metrics.jsonl"
    line = json.loads(path.read_text())
    for other in (
        {"data": {**line["data"], "fingerprint": "other"}},
        {"features": {"tagger": "other weights"}},
        {"asked": ["kid"]},
        {"seed": 7},
    ):
        path.write_text(json.dumps(line | other) + "\n")
        run(tmp_path, "dcgan")
        lines = [json.loads(each) for each in path.read_text().splitlines()]
        assert len(lines) == 2, other
        assert all(lines[1][key] == line[key] for key in other)
    del line["asked"]  # of an older version
    path.write_text(json.dumps(line) + "\n")
    run(tmp_path, "dcgan")
    assert len(path.read_text().splitlines()) == 1


def test_a_comparison_that_goes_on_measures_the_others_as_often(run: Run, tmp_path: Path) -> None:
    recipe = comparison.recipes.load("dcgan", {"training.images": 3200, "eval.every": 1600, "eval.pictures": 300})
    assert comparison._plan_of(recipe) == comparison.Plan(300, 2)


def test_a_run_is_taken_as_it_is(run: Run, faces: Path, tmp_path: Path) -> None:
    run(tmp_path / "first", "dcgan")
    finished = tmp_path / "first/dcgan/seed-0"
    weights = (finished / "model/model.safetensors").read_bytes()
    entries = compare([str(finished)], faces, tmp_path / "second", count=60, features=["tagger"])
    assert (finished / "model/model.safetensors").read_bytes() == weights and entries[0].runs == [finished]
    other = shutil.copytree(finished, tmp_path / "first/copy/seed-0")
    names = [
        entry.name
        for entry in compare([str(finished), str(other)], faces, tmp_path / "second", count=60, features=["tagger"])
    ]
    assert names == ["dcgan/seed-0", "copy/seed-0"]


def test_minutes_are_turned_to_images_once(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = iter([32, 4000])
    monkeypatch.setattr(comparison, "_in_minutes", lambda *_: next(lengths))
    for _ in range(2):
        run(tmp_path, "dcgan", budget=Budget(minutes=0.1))
        assert comparison.config_of(tmp_path / "dcgan/seed-0")["clock"] == 32


@pytest.mark.parametrize(("names", "mirrored"), [(["one", "one"], False), (["one", "both"], True)])
def test_which_avatars_runs_are_compared_with(
    names: list[str], mirrored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that look one way, if those of every run did."""
    drawn = {}

    def load(data: None, **settings: Any) -> None:
        drawn.update(settings)
        raise KaoganError("far enough")

    monkeypatch.setattr(comparison, "open_extractors", lambda *_, **__: ([], []))
    monkeypatch.setattr(comparison, "open_image_source", lambda *_, **__: SimpleNamespace(image_size=16, channels=3))
    monkeypatch.setattr(comparison, "looks_one_way", lambda run: run.name == "one")
    monkeypatch.setattr(comparison, "load_pictures", load)
    with pytest.raises(KaoganError, match="far enough"):
        comparison._measure([Path(name) for name in names], None, [], 60, no_progress)
    assert drawn["avatars_mirrored"] is mirrored


def test_other_references_are_warned_of(run: Run, tmp_path: Path) -> None:
    entries = run(tmp_path, "dcgan", "wgan-gp")
    path = entries[1].runs[0] / "metrics.jsonl"
    line = json.loads(path.read_text())
    line["data"]["fingerprint"] = "other"
    path.write_text(json.dumps(line) + "\n")
    page = write_leaderboard(entries, tmp_path / "leaderboard.html").read_text()
    assert "different real pictures: do not compare" in page


def test_mistakes(run: Run, tmp_path: Path) -> None:
    for words in ((), ("--images", "5", "--minutes", "5")):
        result = CliRunner().invoke(app, ["compare", "dcgan", "--out", str(tmp_path / "x"), *words])
        assert isinstance(result.exception, UsageError) and "--images N or --minutes M" in str(result.exception)
    with pytest.raises(UsageError, match="more than 0"):
        Budget(minutes=0.0)
    with pytest.raises(UsageError, match="no runs in"):
        compare([], None, tmp_path)
    with pytest.raises(UsageError, match="named twice"):
        run(tmp_path, "dcgan", "dcgan")
    with pytest.raises(UsageError, match="unknown recipe"):
        run(tmp_path, "dcgam")
    with pytest.raises(KaoganError, match="nothing was measured"):
        write_leaderboard([Entry("x", [tmp_path])], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_noise_has_no_winner(run: Run, tmp_path: Path) -> None:
    """Where no picture lies among the real ones, no order means anything."""
    entries = run(tmp_path, "dcgan", "wgan-gp")
    pages = []
    for precision in (0.0, 0.4):
        for number, entry in enumerate(entries):
            path = entry.runs[0] / "metrics.jsonl"
            line = json.loads(path.read_text().splitlines()[-1])
            apart = 100.0 * (number + 1)
            line["metrics"]["fid/tagger"] |= {"value": apart, "low": apart - 1, "high": apart + 1}
            line["metrics"]["precision/tagger"]["value"] = precision
            path.write_text(json.dumps(line) + "\n")
        pages.append(write_leaderboard(entries, tmp_path / "page.html").read_text())
    assert "Nothing has been learnt yet" in pages[0] and 'class="best"' not in pages[0]
    assert "Nothing has been learnt yet" not in pages[1] and 'class="best"' in pages[1]


def test_a_network_of_the_training_does_not_decide(run: Run, tmp_path: Path) -> None:
    entries = run(tmp_path, "dcgan", "wgan-gp")
    for entry, values in zip(entries, ((1.0, 90.0), (50.0, 80.0)), strict=True):
        path = entry.runs[0] / "metrics.jsonl"
        line = json.loads(path.read_text().splitlines()[-1])
        known = line["metrics"]["fid/tagger"]
        line["metrics"] = {
            f"fid/{name}": known | {"name": f"FD-{name}", "value": value, "low": value - 1, "high": value + 1,
                                    "trained_against": name == "tagger" and entry.name == "dcgan"}
            for name, value in zip(("tagger", "other"), values, strict=True)
        }  # fmt: skip
        path.write_text(json.dumps(line) + "\n")
    page = write_leaderboard(entries, tmp_path / "page.html").read_text()
    assert page.index("<h3>wgan-gp</h3>") < page.index("<h3>dcgan</h3>")  # 80 is better than 90; 1 does not count
    assert page.count("†") == 2 and page.count('class="best"') == 1  # the number and the footnote


def test_lines_of_an_older_version_are_read(run: Run, tmp_path: Path) -> None:
    entries = run(tmp_path, "dcgan")
    folder = entries[0].runs[0]
    new = metric(entries[0].runs, "fid/tagger"), curve(entries[0].runs)
    for name in ("metrics.jsonl", "stats.jsonl"):
        text = (folder / name).read_text()
        assert "fid" in text
        (folder / name).write_text(text.replace('"fid', '"fd').replace("eval/fid", "eval/fd"))
    assert (metric(entries[0].runs, "fid/tagger"), curve(entries[0].runs)) == new


def test_measuring_fits_into_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 1 ms a picture and nothing for the metric itself."""
    monkeypatch.undo()
    monkeypatch.setattr(comparison.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(comparison.fid, "with_interval", lambda *_: None)
    plans = {}
    for seconds in (100.0, 5.0, 0.701, 0.001):
        now = iter([0.0, 0.064, 1.0, 1.0])
        plans[seconds] = comparison.measuring_plan(seconds, Quarters())
    assert plans[100.0] == comparison.Plan(2000, 10) and plans[5.0] == comparison.Plan(500, 10)
    assert plans[0.701] == comparison.Plan(350, 2) and plans[0.001] == comparison.Plan(256, 1)
