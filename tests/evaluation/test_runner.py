"""``kaogan evaluate`` from the command line on, with a small extractor in the tagger's place."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kaogan.cli import app
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.schema import Schema
from kaogan.data.avatars import draw_each, write_set
from kaogan.evaluation import image_sources
from kaogan.evaluation import runner as evaluation
from kaogan.evaluation.page import markdown, write_page
from kaogan.evaluation.runner import evaluate
from kaogan.evaluation.tables import clear_winner
from kaogan.metrics import reference
from kaogan.metrics.collect import FeatureCollector
from kaogan.metrics.stats.estimate import Estimate
from tests.data.shards.conftest import COUNT, pixels, remote, shards
from tests.evaluation.conftest import SIZE, SmallExtractor
from tests.generate.conftest import filtered, tiny_model

__all__ = ["remote", "shards"]  # fixtures
pytestmark = pytest.mark.usefixtures("small_extractor")


def test_a_run_is_measured_and_remembers_it(run: Path, faces: Path) -> None:
    out = CliRunner().invoke(app, ["evaluate", str(run), "--data", str(faces), "--count", "90", "--features", "tagger"])
    assert out.exit_code == 0, out.output
    line = json.loads((run / "metrics.jsonl").read_text())
    keys = {"fid", "fid_infinite", "kid", "mind", "precision", "recall", "density", "coverage", "copies",
            "accuracy_hair", "diversity"}  # fmt: skip
    assert {f"{key}/tagger" for key in keys} <= set(line["metrics"])
    for metric in line["metrics"].values():
        assert metric["low"] <= metric["value"] <= metric["high"]
    assert line["clock"] == 5000 and line["count"] == 90 and line["data"]["count"] == 120 and line["seed"] == 0
    assert line["features"] == {"tagger": "f1"}
    assert "FD-tagger" in out.output and "120 real pictures" in out.output
    assert re.search(r"^In short: of 100 pictures of .+ look like real ones \(\d+ of real ones do\)", out.output, re.M)
    page = (run / "evaluation.html").read_text()
    assert page.count("data:image/webp;base64,") == 2 and "confusion" in page
    assert "<script" not in page and "http" not in page
    card = (run / "model/README.md").read_text()
    assert "model-index:" in card and "type: FD-tagger" in card
    assert "## Measured" in card and "| FD-tagger ↓ |" in card and "fixed share" in card and "## Limits" in card
    CliRunner().invoke(app, ["evaluate", str(run), "--data", str(faces), "--count", "90", "--features", "tagger"])
    first, second = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert first["metrics"] == second["metrics"]


def test_a_filter_takes_part_only_where_it_is_asked_for(tmp_path: Path, faces: Path) -> None:
    folder, plain = filtered().save(tmp_path / "m"), tiny_model(Schema()).save(tmp_path / "plain")
    settings: dict[str, Any] = {"count": 50, "metrics": ["fid"]}
    raw, unfiltered = evaluate([folder, plain], faces, **settings)
    kept, without = evaluate([folder, plain], faces, keep=0.5, **settings)
    assert (
        raw.rows["fid/tagger"].estimate == unfiltered.rows["fid/tagger"].estimate == without.rows["fid/tagger"].estimate
    )
    assert raw.rows["fid/tagger"].estimate != kept.rows["fid/tagger"].estimate
    assert "drawn from all latents (--keep 1), and not with the model's latent filter" in raw.source.notes
    assert "drawn from the best 50% of the latents (--keep 0.5)" in kept.source.notes and kept.to_json()["keep"] == 0.5
    assert "keep" not in raw.to_json() and any("no latent filter" in note for note in without.source.notes)
    with pytest.raises(UsageError, match="at most 1"):
        evaluate([folder], faces, keep=1.5)


def test_the_real_side_is_computed_once(run: Path, faces: Path) -> None:
    settings: dict[str, Any] = {"count": 50, "metrics": ["fid", "kid"]}
    first = evaluate([run], faces, **settings)[0]
    assert SmallExtractor.calls == 50 + 120
    again = evaluate([run], faces, **settings)[0]
    assert SmallExtractor.calls == 2 * 50 + 120
    assert {k: r.estimate for k, r in first.rows.items()} == {k: r.estimate for k, r in again.rows.items()}
    assert {k: r.real for k, r in first.rows.items()} == {k: r.real for k, r in again.rows.items()}


def test_other_weights_or_pictures_are_another_entry(
    faces: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kaogan.data import load_pictures

    pictures = load_pictures(faces, image_size=SIZE)
    ours = reference.Reference(pictures)
    first = ours.measured(SmallExtractor())
    other = SmallExtractor()
    other.fingerprint = "f2"
    key = ours.key(FeatureCollector(SmallExtractor()))
    assert ours.key(FeatureCollector(other)) != key
    entry = ours.folder / f"{key}.safetensors"
    whole = entry.read_bytes()
    flipped = whole[:-9] + bytes([whole[-9] ^ 64]) + whole[-8:]
    for damage in (b"", whole[:100], b"x" * 500, flipped):
        entry.write_bytes(damage)
        assert (ours.measured(SmallExtractor()).features == first.features).all()
    monkeypatch.setattr(reference, "VERSION", 2)
    assert ours.key(FeatureCollector(SmallExtractor())) != entry.stem


def test_folders_and_zips_of_other_tools(run: Path, faces: Path, tmp_path: Path) -> None:
    import zipfile

    others = tmp_path / "others"
    others.mkdir()
    with zipfile.ZipFile(tmp_path / "others.zip", "w") as archive:
        for number, picture in draw_each(60, SIZE, 5):
            Image.fromarray(picture).save(others / f"{number}.png")
            archive.write(others / f"{number}.png", f"{number}.png")
    folder, archive_result, whole = evaluate(
        [others, tmp_path / "others.zip", faces], faces, metrics=["fid", "precision"]
    )
    assert folder.source.count == 60 and whole.source.count == 120
    assert folder.rows["fid/tagger"].estimate == archive_result.rows["fid/tagger"].estimate
    assert whole.rows["fid/tagger"].estimate.value == pytest.approx(0, abs=1e-9)
    assert whole.rows["precision/tagger"].estimate.value == 1
    assert not list(others.glob("metrics*"))


def test_accuracy_of_real_labels_is_the_tagger_s(faces: Path) -> None:
    """A labelled folder is measured like a model that was asked for its labels."""
    result = evaluate([faces], faces, metrics=["attributes"])[0]
    row = result.rows["accuracy_hair/tagger"]
    assert row.estimate.value == pytest.approx(row.real)
    assert any("eyes" in note for note in result.notes)


def test_pictures_of_a_model_are_a_function_of_seed_and_number(run: Path) -> None:
    one = image_sources.open_image_source(run, 70, seed=3)
    streamed = np.concatenate(list(one.batches()))
    assert (one.pictures([5, 69, 5]) == streamed[[5, 69, 5]]).all()
    shorter = image_sources.open_image_source(run, 40, seed=3)
    assert (np.concatenate(list(shorter.batches())) == streamed[:40]).all()
    assert (np.concatenate(list(image_sources.open_image_source(run, 40, seed=4).batches())) != streamed[:40]).any()
    assert one.requested.shape == (70, 2)


def test_the_model_is_asked_for_what_counts_as_asked(run: Path) -> None:
    subject = image_sources.open_image_source(run, 32)
    assert isinstance(subject, image_sources.GeneratedImages)
    seen = []
    generate = subject.model.generate
    subject.model.generate = lambda z, c=None: (seen.append(c), generate(z, c))[1]  # type: ignore[method-assign]
    list(subject.batches())
    conditions = np.concatenate([c.numpy() for c in seen])
    assert (conditions[:, :12].argmax(1) == subject.requested[:, 0]).all() and (
        conditions[:, 12:].argmax(1) == subject.requested[:, 1]
    ).all()


def test_the_table_names_a_winner_only_when_it_is_clear() -> None:
    good, bad, near = (Estimate(v, v - 1, v + 1) for v in (1, 9, 2))
    assert clear_winner([bad, good], "lower") == 1 and clear_winner([good, near], "lower") is None
    assert clear_winner([good, None], "lower") is None and clear_winner([None, bad, good], "lower") == 2
    assert clear_winner([good, bad], "higher") == 1
    half, whole = Estimate(0.5, 0.4, 0.6), Estimate(1.3, 1.2, 1.4)
    assert clear_winner([half, whole], "one") == 1 and clear_winner([half, Estimate(math.nan, 0, 0)], "one") is None


def test_curves_along_the_clock_and_markdown(run: Path, faces: Path, tmp_path: Path) -> None:
    line = {"clock": 1000, "minutes": 0.5, "metrics": {"fd/tagger": {"value": 900, "low": 800, "high": 1000}}}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n{broken\n")
    from kaogan.evaluation.page import append_lines

    results = evaluate([run, faces], faces, count=60, metrics=["fid"])
    append_lines(results)
    page = write_page(results, tmp_path / "page.html").read_text()
    assert "Along the training" in page and page.count("data:image/png;base64,") == 1
    rows = markdown(results).splitlines()
    assert rows[0].startswith("| | pictures | FD-tagger ↓ | FD∞-tagger ↓ |") and rows[2].startswith("| run | 60 |")
    assert rows[-1].startswith("| real against real |") and len(rows) == 5


def test_attributes_of_what_was_asked_for_nothing(faces: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for number in range(50):
        Image.fromarray(np.full((SIZE, SIZE, 3), number, np.uint8)).save(plain / f"{number}.png")
    with pytest.raises(KaoganError, match="nothing was asked for"):
        evaluate([plain], faces, metrics=["attributes"])


def test_a_network_of_the_training_is_marked_and_wins_nothing(run: Path, faces: Path, tmp_path: Path) -> None:
    model = tiny_model()
    model.config["trained_against"] = ["tagger"]
    model.save(run / "model")
    found = evaluate([run, faces], faces, count=60, metrics=["fid", "precision"])
    assert found[0].rows["fid/tagger"].trained_against and not found[1].rows["fid/tagger"].trained_against
    page = write_page(found, tmp_path / "page.html").read_text()
    assert "†" in page and "trained against" in page and 'class="best"' not in page
    assert "†" in markdown(found) and found[0].to_json()["metrics"]["recall/tagger"]["trained_against"]
    assert "†" not in markdown(evaluate([faces], faces, metrics=["fid"]))


@pytest.mark.parametrize(
    ("config", "expected"),
    [({"recipe": "kao"}, ["tagger"]), ({"recipe": "dcgan"}, []), ({"recipe": "unheard of"}, []), ({}, []),
     ({"recipe": "kao", "trained_against": ["tagger", "mobilenet"]}, ["tagger", "mobilenet"])],
)  # fmt: skip
def test_networks_of_the_training_of_older_models(config: dict[str, Any], expected: list[str]) -> None:
    assert list(image_sources.trained_against(config)) == expected


def test_the_tagger_is_loaded_for_attributes_alone(run: Path, faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(SmallExtractor):
        name, label = "other", "other"
        attributes: ClassVar = {}

    devices = []

    def load(word: str, *, device: str, **_: Any) -> SmallExtractor:
        devices.append(device)
        return Other() if word == "other" else SmallExtractor()

    monkeypatch.setattr(evaluation, "load_extractor", load)
    (result,) = evaluate([run], faces, features=["other"], metrics=["fid", "attributes"], count=40, device="auto")
    assert set(result.rows) == {"fid/other", "fid_infinite/other", "accuracy_hair/tagger"}
    assert devices == ["auto", "auto"]


@pytest.mark.parametrize("place", ["shards", "remote"])
def test_shards_are_measured_as_any_other_set(place: str, request: pytest.FixtureRequest) -> None:
    path = Path(request.getfixturevalue(place))
    source = image_sources.open_image_source(path, 6)
    assert (
        isinstance(source, image_sources.ImageFolder)
        and source.count == 6
        and source.image_size == 8
        and source.notes == []
    )
    found = np.concatenate(list(source.batches()))
    assert found.shape == (6, 8, 8, 3) and (found == pixels()[source.rows]).all()
    assert (source.pictures([3, 1]) == found[[3, 1]]).all()
    assert image_sources.open_image_source(path, 6, every_picture=True).count == COUNT


def test_a_model_that_comes_with_kaogan_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = image_sources.open_image_source(Path("kao"), 2, device="cpu")
    assert (source.name, source.run, source.count) == ("kao", None, 2)
    with pytest.raises(UsageError, match="2 or more"):  # not that there is no such model
        evaluate([Path("kao")], tmp_path, count=1)


def test_two_of_one_name_are_told_apart(faces: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_set(tmp_path / name / "mine", 20, SIZE, 1)
    found = evaluate([tmp_path / "a/mine", tmp_path / "b/mine", faces], faces, metrics=["fid"])
    assert [each.source.name for each in found] == [str(tmp_path / "a/mine"), str(tmp_path / "b/mine"), "faces"]


def test_published_statistics_in_and_out(run: Path, faces: Path, tmp_path: Path) -> None:
    words = ["evaluate", str(run), "--data", str(faces), "--count", "90", "--features", "tagger", "--metrics", "fid"]
    first = CliRunner().invoke(app, [*words, "--write-reference", str(tmp_path / "real.npz")])
    assert first.exit_code == 0 and "The statistics: " in first.output, first.output
    again = CliRunner().invoke(app, [*words, "--reference", str(tmp_path / "real.npz")])
    assert again.exit_code == 0 and "FD-tagger against real.npz" in again.output
    rows = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["metrics"]
    assert rows["fid_published/tagger"]["value"] == pytest.approx(rows["fid/tagger"]["value"], rel=1e-9)
    np.savez(tmp_path / "inception.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    with pytest.raises(UsageError, match=r"2048 numbers.*--features inception"):
        evaluate([run], faces, count=50, reference=tmp_path / "inception.npz")
