"""``kaogan evaluate`` where something goes wrong: wrong words, broken pictures, full and read-only disks, Ctrl-C."""

from __future__ import annotations

import errno
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kaogan.cli import app
from kaogan.core.errors import KaoganError, UsageError
from kaogan.data.avatars import draw_each, write_set
from kaogan.evaluation import runner as evaluation
from kaogan.evaluation.runner import evaluate
from tests.evaluation.conftest import SIZE

pytestmark = pytest.mark.usefixtures("small_extractor")


def test_what_fails_is_noted_and_the_rest_goes_on(run: Path, faces: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for number, picture in draw_each(12, SIZE, 5):
        Image.fromarray(picture).save(few / f"{number}.png")
    (few / "broken.png").write_bytes(b"not a picture")
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(few / "large.png")
    result = evaluate([few], faces, features=["tagger", "broken"])[0]
    notes = "\n".join([*result.source.notes, *result.notes])
    assert "kid (tagger) left out: 13 pictures, at least 20" in notes
    assert "no extrapolation" in notes and "mixed sizes" in notes and "1 files skipped, first broken.png" in notes
    assert "no broken features: the weights of broken are not here" in notes
    assert {"fid/tagger", "precision/tagger", "coverage/tagger"} <= set(result.rows)
    assert not any(key.startswith("accuracy") for key in result.rows)
    with pytest.raises(KaoganError, match="broken are not here"):
        evaluate([few], faces, features=["broken"])


def test_mistakes_are_told_in_one_line(run: Path, faces: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown metric 'fidd'.*'fid'"):
        evaluate([run], faces, metrics=["fidd"])
    with pytest.raises(UsageError, match="no such model, run"):
        evaluate([tmp_path / "nowhere"], faces)
    with pytest.raises(UsageError, match="2 or more"):
        evaluate([run], faces, count=1)
    with pytest.raises(UsageError, match="unknown features"):
        evaluate([run], faces, features=["taggr"])
    with pytest.raises(UsageError, match="tagger are named with different weights"):
        evaluate([run], faces, features=["tagger", "tagger=other.safetensors"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(KaoganError, match="no pictures"):
        evaluate([tmp_path / "empty"], faces)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "recipe.yaml").write_text("name: x\n")
    with pytest.raises(KaoganError, match="no model yet"):
        evaluate([tmp_path / "half"], faces)
    one = tmp_path / "one"
    one.mkdir()
    Image.fromarray(np.zeros((SIZE, SIZE, 3), np.uint8)).save(one / "a.png")
    with pytest.raises(KaoganError, match="one picture says nothing"):
        evaluate([one], faces)


def test_a_half_written_line_costs_no_other(run: Path, faces: Path) -> None:
    from kaogan.evaluation.page import append_lines, metrics_lines

    (run / "metrics.jsonl").write_text('{"clock": 1}\n{"clock": 2, "met')
    append_lines(evaluate([run], faces, count=60, metrics=["fid"]))
    assert [line["clock"] for line in metrics_lines(run)] == [1, 5000]


def test_a_read_only_run_is_measured_and_its_page_written_elsewhere(
    run: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    make, opened = tempfile.mkstemp, Path.open

    def deny(place: Path) -> None:
        if place.is_relative_to(run):
            raise PermissionError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", lambda *a, dir, **b: (deny(Path(dir)), make(*a, dir=dir, **b))[1])
    monkeypatch.setattr(Path, "open", lambda self, mode="r", *a, **b: (
        deny(self) if set(mode) & set("wax+") else None, opened(self, mode, *a, **b))[1])  # fmt: skip
    monkeypatch.chdir(tmp_path)
    words = [str(run), "--data", str(faces), "--metrics", "fid", "--features", "tagger", "--count", "60"]
    result = CliRunner().invoke(app, ["evaluate", *words])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run-evaluation.html").is_file() and "run-evaluation.html" in result.output
    assert f"{run} is read-only" in caplog.text and "metrics.jsonl" in caplog.text
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_what_cannot_be_measured_does_not_stop_the_others(faces: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    write_set(one, 1, SIZE, 5)
    found = evaluate([one, faces], faces, metrics=["fid"])
    assert [result.source.name for result in found] == ["faces"] and not any("says" in n for n in found[0].notes)
    assert [failure.name for failure in found.failures] == ["one"] and "one picture says" in found.failures[0].reason
    words = [str(one), str(faces), "--data", str(faces), "--metrics", "fid", "--features", "tagger"]
    out = CliRunner().invoke(app, ["evaluate", *words, "--out", str(tmp_path / "page.html")])
    assert out.exit_code == 1 and "FD-tagger" in out.stdout and "one was not measured: " in out.stderr
    assert "one was not measured" in (tmp_path / "page.html").read_text()
    with pytest.raises(KaoganError, match="one picture says nothing"):
        evaluate([one], faces, metrics=["fid"])
    with pytest.raises(UsageError, match="no such model"):
        evaluate([tmp_path / "nothing", faces], faces, metrics=["fid"])
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"no set of pictures")
    found = evaluate([faces, weights], faces, metrics=["fid"])
    assert len(found) == 1 and [failure.name for failure in found.failures] == ["weights.safetensors"]
    with pytest.raises(UsageError):
        evaluate([weights], faces, metrics=["fid"])


def test_a_full_disk_costs_no_measurement(run: Path, faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise KaoganError("the disk is full")

    monkeypatch.setattr("kaogan.evaluation.page.append_lines", full)
    words = [str(run), str(faces), "--data", str(faces), "--metrics", "fid", "--features", "tagger", "--count", "60"]
    out = CliRunner().invoke(app, ["evaluate", *words, "--out", str(run / "page.html")])
    assert out.exit_code == 1 and "FD-tagger" in out.stdout and (run / "page.html").is_file()
    assert isinstance(out.exception, KaoganError) and "disk is full" in str(out.exception)


def test_an_interruption_costs_only_what_is_being_measured(
    run: Path, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = evaluation.evaluate_one

    def interrupted(source: Any, *rest: Any, **more: Any) -> Any:
        if source.name == "faces":
            raise KeyboardInterrupt
        return measured(source, *rest, **more)

    monkeypatch.setattr(evaluation, "evaluate_one", interrupted)
    words = [str(run), str(faces), "--data", str(faces), "--metrics", "fid", "--features", "tagger", "--count", "60"]
    assert CliRunner().invoke(app, ["evaluate", *words]).exit_code != 0
    assert "fid/tagger" in json.loads((run / "metrics.jsonl").read_text())["metrics"]
    assert "| FD-tagger ↓ |" in (run / "model/README.md").read_text()
