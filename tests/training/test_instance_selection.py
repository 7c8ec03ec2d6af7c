"""Instance selection: which pictures a training keeps, and what of it is remembered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kaogan.core.errors import UsageError
from kaogan.core.schema import Schema
from kaogan.data import PictureSet, load_pictures
from kaogan.data.cache import cache_folder
from kaogan.data.shards.writer import write_shards
from kaogan.metrics.reference import Reference
from kaogan.training import evaluator, instance_selection
from kaogan.training.instance_selection import ProbabilisticPCA, retained, select_instances, typicality, with_typicality
from kaogan.training.sampler import InfiniteSampler, hold_out
from tests.data.shards.conftest import SHARD_SIZE, samples
from tests.training.conftest import make_pictures
from tests.training.runs import contents, train


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_selection, "LEAST", 4)


def discs(count: int = 60, odd: int = 12) -> PictureSet:
    """Bright discs near the middle on a dark ground; the first ``odd`` pictures are stripes of many kinds."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    images = np.zeros((count, 32, 32, 3), np.uint8)
    for number, image in enumerate(images):
        if number >= odd:
            y, x, r = 16 + random.uniform(-2, 2), 16 + random.uniform(-2, 2), random.uniform(8, 10)
            image[(rows - y) ** 2 + (columns - x) ** 2 < r**2] = 200 + random.integers(0, 40, 3)
        else:
            slope = random.uniform(-2, 2)
            image[(rows + slope * columns) % random.integers(4, 12) < 3] = random.integers(60, 255, 3)
    names = tuple(f"{number}.png" for number in range(count))
    return PictureSet(images, np.empty((count, 0), np.int64), Schema(), names, (), (), "discs", f"discs-{count}-{odd}")


def test_the_odd_ones_go() -> None:
    kept = select_instances(discs(), 0.5)
    assert len(kept) == 30 and kept.selected_from == 60
    assert sum(int(name.removesuffix(".png")) < 12 for name in kept.names) <= 2, "of the twelve odd ones"
    assert list(kept.names) == sorted(kept.names, key=lambda name: int(name.removesuffix(".png")))
    for row, name in enumerate(kept.names):
        assert np.array_equal(kept.images[row], discs().images[int(name.removesuffix(".png"))])


def test_small_sets_are_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_selection, "LEAST", 5_000)
    pictures = discs()
    assert select_instances(pictures, 0.1) is pictures
    noted = with_typicality(pictures, 0.1)
    assert noted.typicality is None, "nothing is computed for it"
    assert noted.notes[-1].startswith("all 60 pictures are trained on; of more than 5,000")
    assert with_typicality(pictures, 1.0) is pictures


def test_how_many_are_retained(monkeypatch: pytest.MonkeyPatch) -> None:
    assert retained(discs(), 0.5) == 30 and retained(discs(), 0.01) == 4 and retained(discs(3, 0), 0.5) == 3
    monkeypatch.setattr(instance_selection, "MOST_BYTES", 10_000)
    assert retained(discs(), 0.5) == 60, "as many would not fit into memory"
    assert "all pictures are trained on" in with_typicality(discs(), 0.5).notes[-1]


def test_a_set_in_shards_begins_at_once(tmp_path: Path) -> None:
    write_shards(tmp_path, samples(), ["mood"], SHARD_SIZE)
    pictures = load_pictures(tmp_path, image_size=8, workers=0)
    assert select_instances(pictures, 0.5) is pictures
    found = with_typicality(pictures, 0.5)
    assert found.typicality is None and found.notes[-1].endswith("not the most typical 50%: the set is in shards")


def test_one_is_all() -> None:
    pictures = discs()
    assert select_instances(pictures, 1.0) is pictures


def test_labels_keep_their_shares() -> None:
    """A rare colour, all of whose pictures are odd, is not selected away; -1 is unknown, a group of its own."""
    labels = np.full((60, 2), -1, np.int64)
    labels[12:, 0] = 0
    labels[:12, 0] = 1
    labels[0, 1] = 1
    kept = select_instances(replace(discs(), labels=labels), 0.5)
    assert (kept.labels[:, 0] == 0).sum() == 24 and (kept.labels[:, 0] == 1).sum() in (6, 7)
    assert "0.png" in kept.names, "the only one with this value"
    rows = [int(name.removesuffix(".png")) for name in kept.names]
    assert np.array_equal(labels[rows], kept.labels)


def test_many_combinations_do_not_undo_it() -> None:
    labels = np.stack([np.arange(60) % 7, np.arange(60) % 8], 1)
    kept = select_instances(replace(discs(), labels=labels), 0.5)
    assert 30 <= len(kept) <= 32
    assert all(set(column) == set(range(n)) for column, n in zip(kept.labels.T.tolist(), (7, 8), strict=True))


def test_typicality_with_eyes_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    doubts = np.random.default_rng(1).random(60).astype(np.float32)
    monkeypatch.setattr(instance_selection, "_doubts", lambda *_: doubts)
    pictures = replace(discs(), fingerprint="eyes")
    plain, both = typicality(pictures), typicality(pictures, eyes=True)
    expected = (plain - plain.mean()) / plain.std() - (doubts - doubts.mean()) / doubts.std()
    np.testing.assert_allclose(both, expected, rtol=1e-4, atol=1e-4)
    assert np.array_equal(typicality(pictures), plain), "each has a place of its own in the cache"
    kept = select_instances(pictures, 0.5, eyes=True)
    names = {f"{row}.png" for row in np.argsort(-both)[:30]}
    assert set(kept.names) == names != set(select_instances(pictures, 0.5).names)
    noted = with_typicality(pictures, 0.5, eyes=True)
    assert noted.typicality is not None and np.array_equal(noted.typicality, both)
    assert noted.notes[-1].startswith("the most typical 30, with eyes that are plain to see, are trained on;")


def test_the_card_says_so(tmp_path: Path, quick: None) -> None:
    pictures = replace(make_pictures(), fingerprint="the card")
    train(tmp_path / "run", pictures=pictures, **{"data.instance_selection": 0.5, "data.clear_eyes": True})
    card = (tmp_path / "run/model/README.md").read_text()
    assert "12, the most typical of 24 (`data.instance_selection`, `data.clear_eyes`)" in card


def test_what_is_known_of_a_set_is_not_taken_for_something_else() -> None:
    pictures = replace(discs(), fingerprint="known")
    with_eyes, without = with_typicality(pictures, 0.5, eyes=True), with_typicality(pictures, 0.5)
    assert with_eyes.typicality is not None and without.typicality is not None
    assert not np.array_equal(with_eyes.typicality, without.typicality)
    assert select_instances(with_eyes, 0.5).names == select_instances(without, 0.5).names
    assert select_instances(without, 0.5, eyes=True).names == select_instances(with_eyes, 0.5, eyes=True).names


def test_eyes_are_judged_both_ways_round() -> None:
    pictures, seen = discs(20, 5), []
    found = instance_selection._doubts(pictures, instance_selection.CPU, lambda *step: seen.append(step))
    mirrored = replace(pictures, images=np.ascontiguousarray(pictures.images[:, :, ::-1]))
    again = instance_selection._doubts(mirrored, instance_selection.CPU, None)
    assert found.shape == (20,) and np.allclose(found, again, atol=1e-4) and found.std() > 0
    assert seen == [(20, 20, "looking at eyes")]


def test_other_eyes_are_another_run(tmp_path: Path, quick: None) -> None:
    pictures, share = replace(make_pictures(), fingerprint="other eyes"), {"data.instance_selection": 0.5}
    train(tmp_path / "run", pictures=pictures, images=24, **share)
    with pytest.raises(UsageError, match=r"data\.clear_eyes was False, now True\. Use"):
        train(tmp_path / "run", pictures=pictures, images=48, **share, **{"data.clear_eyes": True})


def test_typicality_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = discs()
    first = typicality(pictures)
    assert first.shape == (60,) and first.dtype == np.float32
    with monkeypatch.context() as patch:
        patch.setattr(instance_selection, "_typicality", lambda *_: pytest.fail("computed again"))
        assert np.array_equal(typicality(pictures), first)
    other = typicality(replace(pictures, images=pictures.images[::-1].copy(), fingerprint="the other way round"))
    assert np.abs(other[::-1] - first).max() < 1e-3 * np.abs(first).max(), "of the picture, not of its place"


@pytest.mark.parametrize("damage", [b"", b"not an array", "short"])
def test_a_damaged_cache_is_made_anew(damage: bytes | str) -> None:
    pictures = replace(discs(), fingerprint=f"damaged-{damage!r}")
    before = set(cache_folder().glob("*.npy"))
    first = typicality(pictures)
    (path,) = set(cache_folder().glob("*.npy")) - before
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    else:
        np.save(path, first[:-1])
    assert np.array_equal(typicality(pictures), first)
    assert np.array_equal(np.load(path), first)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KAOGAN_CACHE", str(tmp_path / "file"))
    assert len(select_instances(discs(), 0.5)) == 30


def test_many_pictures_are_fitted_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_selection, "FITTED", 40)
    seen: list[tuple[int, int, str]] = []
    pictures = replace(discs(), fingerprint="in part")
    scores = typicality(pictures, progress=lambda *step: seen.append(step))
    assert scores.shape == (60,) and scores[12:].mean() > scores[:12].mean()
    assert seen[-1] == (100, 100, "looking for typical pictures"), "40 to learn from, 60 to judge"


def test_the_held_out_are_not_selected() -> None:
    pictures = with_typicality(discs(), 0.5, 0.2)
    trained, held_out = hold_out(pictures, 0.2, 0)
    kept = select_instances(trained, 0.5)
    assert held_out is not None and len(held_out) == 12 and len(kept) == 24
    assert not set(kept.names) & set(held_out.names)
    assert pictures.notes == ("the most typical 24 are trained on; --data.instance_selection 1 takes all",)
    assert pictures.typicality is not None and kept.typicality is not None
    places = [int(name.removesuffix(".png")) for name in kept.names]
    assert np.array_equal(kept.typicality, pictures.typicality[places])


@pytest.mark.parametrize("channels", [1, 3])
def test_even_and_grey_pictures(channels: int) -> None:
    even = np.full((12, 16, 16, channels), 128, np.uint8)
    pictures = replace(make_pictures(12), images=even, fingerprint=f"even-{channels}")
    assert np.isfinite(typicality(pictures)).all()
    assert len(select_instances(pictures, 0.5)) == 6


def test_the_gaussian_is_that_of_the_data() -> None:
    """Probabilistic PCA with all directions free but one is the plain Gaussian."""
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(500, 4, generator=rng) @ torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5])) + 1
    found = ProbabilisticPCA.fit(features, components=3).log_likelihood(features)
    covariance = torch.cov(features.T.double())
    exact = torch.distributions.MultivariateNormal(features.double().mean(0), covariance).log_prob(features.double())
    assert torch.allclose(found.double() - found.double().mean(), exact - exact.mean(), atol=1e-4)


def test_a_training_shows_what_it_kept(tmp_path: Path, quick: None) -> None:
    pictures = replace(make_pictures(), fingerprint="a training")
    train(tmp_path / "run", pictures=pictures, **{"data.instance_selection": 0.5})
    config = json.loads((tmp_path / "run/model/config.json").read_text())
    assert (config["data"]["count"], config["data"]["selected_from"]) == (12, 24)
    assert config["settings"]["data.instance_selection"] == 0.5
    assert "12, the most typical of 24 (`data.instance_selection`)" in (tmp_path / "run/model/README.md").read_text()
    log = (tmp_path / "run/log.txt").read_text()
    assert "12 pictures, 0 skipped" in log and "selected: those pictures are the most typical ones of 24" in log
    assert json.loads((tmp_path / "run/data.json").read_text())["count"] == 24, "the set by which a run is known again"


def test_nothing_else_is_shown(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[PictureSet] = []

    class Sampler(InfiniteSampler):
        def __init__(self, pictures: PictureSet, *rest: object) -> None:
            given.append(pictures)
            super().__init__(pictures, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("kaogan.training.train.InfiniteSampler", Sampler)
    pictures = replace(make_pictures(), fingerprint="nothing else")
    train(tmp_path / "run", pictures=pictures, images=8, **{"data.instance_selection": 0.5})
    assert [each.names for each in given] == [select_instances(pictures, 0.5).names]


def test_other_pictures_on_resume_are_refused(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, share = replace(make_pictures(), fingerprint="other pictures"), {"data.instance_selection": 0.5}
    train(tmp_path / "run", pictures=pictures, images=24, **share)
    turned = replace(pictures, typicality=-typicality(pictures))
    with pytest.raises(UsageError, match="data selected"):
        train(tmp_path / "run", pictures=turned, images=48, **share)


def test_a_run_goes_on_with_the_same_pictures(tmp_path: Path, quick: None) -> None:
    """Also where the cache was emptied: what was shown depends on the pictures alone."""
    pictures, share = replace(make_pictures(), fingerprint="goes on"), {"data.instance_selection": 0.5}
    train(tmp_path / "straight", pictures=pictures, images=48, **share)
    train(tmp_path / "resumed", pictures=pictures, images=24, **share)
    for path in cache_folder().glob("*.npy"):
        path.unlink()
    train(tmp_path / "resumed", pictures=pictures, images=48, **share)
    assert contents(tmp_path / "resumed") == contents(tmp_path / "straight")


def test_another_share_is_another_run(tmp_path: Path, quick: None) -> None:
    pictures = replace(make_pictures(), fingerprint="another share")
    train(tmp_path / "run", pictures=pictures, images=24, **{"data.instance_selection": 0.5})
    with pytest.raises(UsageError, match=r"data\.instance_selection was 0\.5, now 0\.9\. Use"):
        train(tmp_path / "run", pictures=pictures, images=48, **{"data.instance_selection": 0.9})


def test_what_is_measured_against_is_the_whole_set(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def reference(pictures: PictureSet) -> Reference:
        measured.append(len(pictures))
        return Reference(pictures)

    monkeypatch.setattr(evaluator, "Reference", reference)
    pictures = replace(make_pictures(), fingerprint="measured")
    settings = {"data.instance_selection": 0.5, "eval.every": 24, "eval.metrics": ["fixed_share"]}
    train(tmp_path / "run", pictures=pictures, images=24, **settings)
    assert measured[0] == 24
