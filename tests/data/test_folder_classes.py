"""Sub-folders as classes: what is one, what is a split, a bucket, or in doubt."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaogan.core.errors import UsageError
from kaogan.data.folder_classes import class_table
from tests.data.conftest import encoded, load, picture, write_zip


def names(layout: dict[str, list[int]], stem: str = "{}") -> list[str]:
    return [f"{folder}/{stem.format(number)}.png" for folder, numbers in layout.items() for number in numbers]


CLASSES = {
    "words": names({"pink": [0, 1], "blue": [2, 3]}),
    "years": names({"2001": [0, 1], "2002": [2, 3]}),
    "below a common folder": names({"set/images/cat": [0], "set/images/dog": [1]}),
    "below splits": names({"train/cat": [0], "train/dog": [1], "val/cat": [2], "val/dog": [3]}),
    "below buckets": names({"00000/cat": [0], "00000/dog": [1], "00001/cat": [2]}),
    "letters": names({"a": [0, 1], "b": [2, 3]}),
}
NONE = {
    "splits": names({"train": [0, 1], "val": [2], "test": [3]}),
    "splits of another spelling": names({"Training_Set": [0, 1], "test-images": [2]}),
    "NVIDIA's buckets": names({"00000": [0, 1], "00001": [1000, 1001]}, "img{:08d}"),
    "id modulo 8": names({str(n): [n, n + 8, n + 80] for n in range(8)}),
    "id modulo 1000": names({f"{n:04d}": [n, n + 1000] for n in (3, 17, 999)}),
    "first digits of a hash": [f"{n:02x}/{n:02x}{m}ab.png" for n in (1, 171, 240) for m in range(3)],
    "first digits of a hash, twice": [f"{n:02x}/{m:02x}/{n:02x}{m:02x}ab.png" for n in (3, 171) for m in (240, 17)],
    "parts": names({"part1": [0, 1], "part2": [2, 3]}),
    "batches": names({"batch_000": [0, 1], "batch_001": [2, 3]}),
}
DOUBTFUL = {
    "numbers": names({"0": [0, 5, 2], "1": [3, 4, 9]}),
    "two domains": names({"trainA": [0, 1], "trainB": [0, 1], "testA": [2], "testB": [2]}),
    "days": names({"2024-01-03": [0, 1], "2024-02-11": [2, 3]}),
    "a split and another": names({"train": [0, 1], "more": [2]}),
    "other forms": names({"faces": [0, 1], "faces_blurred": [0, 1]}),
    "pictures and others": names({"images": [0, 1], "extra": [2]}),
}


@pytest.mark.parametrize("case", CLASSES)
def test_classes(case: str) -> None:
    for choice in ("ask", "auto", "yes"):
        cells = class_table(CLASSES[case], "x", choice).columns["class"]  # type: ignore[arg-type]
        assert cells == [name.split("/")[-2] for name in CLASSES[case]]
    assert class_table(CLASSES[case], "x", "no").columns == {}


@pytest.mark.parametrize("case", NONE)
def test_no_classes(case: str) -> None:
    for choice in ("ask", "auto", "no"):
        assert class_table(NONE[case], "x", choice).columns == {}  # type: ignore[arg-type]
    assert "no classes" in class_table(NONE[case], "x", "ask").notes[0]
    forced = class_table(NONE[case], "x", "yes").columns["class"]
    assert forced == [name.split("/")[0] for name in NONE[case]]


@pytest.mark.parametrize("case", DOUBTFUL)
def test_doubt(case: str) -> None:
    with pytest.raises(UsageError, match=r"may be classes or not: say --data.classes yes or --data.classes no"):
        class_table(DOUBTFUL[case], "x", "ask")
    left = class_table(DOUBTFUL[case], "x", "auto")
    assert left.columns == {} and "not taken as classes" in left.notes[0]
    assert class_table(DOUBTFUL[case], "x", "no").columns == {}
    assert class_table(DOUBTFUL[case], "x", "yes").columns["class"] == [n.split("/")[0] for n in DOUBTFUL[case]]


def test_the_setting(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", dict.fromkeys(DOUBTFUL["numbers"], encoded(picture())))
    with pytest.raises(UsageError, match=r"--data\.classes"):
        load(source, attributes=["auto"], classes="ask")
    assert load(source, attributes=["auto"], classes="yes").schema["class"].values == ("0", "1")
    assert not load(source, attributes=["auto"], classes="no").schema
    assert not load(source, classes="ask").schema  # no labels are asked for, so there is no doubt
