from __future__ import annotations

import numpy as np
import pytest

from kaogan.core.errors import UsageError
from kaogan.prepare.settings import make_settings, parse_split
from kaogan.prepare.split import assign

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
KEYS = [f"{index:032x}-0" for index in range(4000)]
EACH = np.arange(len(KEYS))


def test_shares_are_met_and_stay() -> None:
    parts = assign(KEYS, EACH, SHARES)
    for name, share in SHARES.items():
        assert parts.count(name) / len(KEYS) == pytest.approx(share, abs=0.02)
    # Others that come or go change nothing, and neither does the order.
    assert assign(KEYS[100:200], EACH[:100], SHARES) == parts[100:200]
    assert assign(KEYS[::-1], EACH, SHARES) == parts[::-1]


def test_look_alikes_stay_together() -> None:
    groups = EACH // 3
    parts = assign(KEYS, groups, SHARES)
    assert all(len({parts[at] for at in range(len(KEYS)) if groups[at] == group}) == 1 for group in range(50))
    assert len(set(parts)) == 3


def test_spelling() -> None:
    assert parse_split("train=0.9, test=0.1") == {"train": 0.9, "test": 0.1}
    for wrong in ("train", "train=a", "train=0.5,train=0.5", "=1", ""):
        with pytest.raises(UsageError, match="NAME=SHARE"):
            parse_split(wrong) and make_settings({"split": parse_split(wrong)})


@pytest.mark.parametrize(
    ("split", "message"),
    [({"a": 0.5}, "sum to 1"), ({"a": 1.5, "b": -0.5}, "share above 0"), ({"../a": 1.0}, "letters"),
     ({"images": 1.0}, "mistaken")],
)  # fmt: skip
def test_impossible_splits(split: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_settings({"split": split})


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(UsageError, match=r"unknown setting 'picture.siez' \(did you mean 'size'\?\)"):
        make_settings({"picture": {"siez": 3}})
    with pytest.raises(UsageError, match=r"picture\.crop.*not 'face'"):
        make_settings({"picture": {"crop": "face"}})
    with pytest.raises(UsageError, match="t1 must not exceed t2"):
        make_settings({"blur": {"t1": 3, "t2": 2}})
