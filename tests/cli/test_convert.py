"""The command ``kaogan convert``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kaogan import cli
from kaogan.data.formats import FORMATS
from tests.data.formats.conftest import faces

__all__ = ["faces"]  # a fixture


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["kaogan", *map(str, words)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return (int(ended.value.code or 0), *capsys.readouterr())


def test_convert(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (faces / "images/broken.png").write_bytes(b"x")
    out = tmp_path / "x.zip"
    code, said, _ = call(
        capsys, monkeypatch, "convert", faces, out, "--to", "stylegan", "--size", 8, "--attributes", "hair, eyes"
    )
    assert code == 0 and out.is_file()
    assert f"7 pictures in {out} (kaogan -> stylegan)" in said
    assert "unknown label: zeros" in said and "skipped broken.png: not a known kind of picture" in said
    code, said, _ = call(capsys, monkeypatch, "convert", out, tmp_path / "back", "--to", "flat", "--from", "nested")
    assert code == 0 and "(nested -> flat)" in said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--to", "tfrecord"], 2, "unknown format 'tfrecord' (choose from hdf5"),
        (["--to", "flat", "--from", "acgn"], 2, "did you mean 'acgan'?"),
        (["--to", "flat", "--from", "acgan"], 1, "holds no tags.pickle"),
        (["--to", "flat", "--encode", "bmp"], 2, "--encode bmp: keep, png or jpg"),
        (["--to", "acgan"], 2, "kaogan reads the format acgan but does not write it"),
        (["--to", "stylegan", "--encode", "jpg"], 2, "this format holds PNG only"),
        (["--to", "webdataset", "--shard-size", "0"], 2, "--shard-size 0: at least 1"),
        ([], 2, "missing option '--to'"),
    ],
)
def test_mistakes(
    faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    message: str,
) -> None:
    ended, _, error = call(capsys, monkeypatch, "convert", faces, tmp_path / "out", *words)
    assert ended == code and message in error and error.startswith("kaogan: ") and error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["faces"]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (("~no-such-user/x", "out"), "not a path: ~no-such-user/x"),
        (("faces", "~no-such-user/x"), "not a path: ~no-such-user/x"),
        (("faces", "s3://bucket/out"), "s3://bucket/out: sets are written to this machine alone"),
    ],
)
def test_places_that_cannot_be(
    faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    places: tuple[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended, _, error = call(capsys, monkeypatch, "convert", *places, "--to", "flat")
    assert ended == 2 and message in error and error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["faces"]


def test_help_names_every_format(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    _, said, _ = call(capsys, monkeypatch, "convert", "--help")
    assert all(name in said for name in FORMATS)
