"""Settings under the names of earlier releases."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from kaogan.config import recipes, renamed
from kaogan.core.errors import UsageError


@pytest.fixture(autouse=True)
def _no_notice_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed, "_noticed", set())


OLD = """
latent: {size: 8, law: uniform}
generator: {family: kernel5, width: 4}
discriminator: {family: projected, thaw: 7}
objective: {flip: 0.25}
optim: {schedule: {law: linear}}
data: {flip: true}
"""
NEW = {
    "latent": {"size": 8, "distribution": "uniform"},
    "generator": {"family": "keras_wgan", "width": 4},
    "discriminator": {"family": "projected", "unfreeze_at": 7},
    "objective": {"label_flip": 0.25},
    "optim": {"schedule": {"type": "linear"}},
    "data": {"horizontal_flip": True},
}


def test_a_file_with_old_names_means_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    with caplog.at_level(logging.WARNING, "kaogan"):
        assert recipes.load(path) == recipes.load({**NEW, "name": "old"})
        recipes.load(path)
    (notice,) = caplog.messages  # one line, and once
    assert str(path) in notice and "\n" not in notice
    assert "latent.law is latent.distribution" in notice
    assert "generator.family kernel5 is generator.family keras_wgan" in notice


def test_settings_that_are_no_more_are_left_out_of_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(
        "generator: {family: dcgan}\n"
        "discriminator: {family: projected, anomaly_map: 48}\n"
        "extras: {anomalies: {weight: 40.0}}\n"
    )
    new = {"name": "old", "generator": {"family": "dcgan"}, "discriminator": {"family": "projected"}}
    with caplog.at_level(logging.WARNING, "kaogan"):
        assert recipes.load(path) == recipes.load(new)
    assert caplog.messages == [
        f"{path}: settings have changed: discriminator.anomaly_map is no more; extras.anomalies is no more"
    ]
    with pytest.raises(UsageError, match="anomaly_map"):
        recipes.load("kao", {"discriminator.anomaly_map": 48})


def test_present_names_are_not_noticed(caplog: pytest.LogCaptureFixture) -> None:
    recipes.load(NEW)
    for name in recipes.names():
        recipes.load(name)
    assert not caplog.messages


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"data.flip": True}, {"data.horizontal_flip": True}),
        ({"data": {"flip": True}}, {"data": {"horizontal_flip": True}}),
        ({"generator.family": "shuffle256", "generator.width": 64},
         {"generator.family": "starsface_wgan", "generator.width": 64}),
        ({"generator.smooth": True}, {"generator.output_filter": "binomial"}),
        ({"generator": {"smooth": False}}, {"generator.output_filter": "none"}),
        ({"discriminator.family": "projected", "discriminator.thaw": None}, {"discriminator.family": "projected"}),
    ],
)  # fmt: skip
def test_overrides(old: dict[str, Any], new: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    assert recipes.load("dcgan", old) == recipes.load("dcgan", new)
    assert len(caplog.messages) == 1


def test_an_override_beats_a_file_under_either_name() -> None:
    assert not recipes.load({**NEW, "data": {"flip": True}}, {"data.horizontal_flip": False}).data.horizontal_flip
    assert not recipes.load(NEW, {"data.flip": False}).data.horizontal_flip


def test_both_names_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'data.flip' is called 'data.horizontal_flip' now: give it once"):
        recipes.load({**NEW, "data": {"flip": True, "horizontal_flip": False}})
    with pytest.raises(UsageError, match="give it once"):
        recipes.load("dcgan", {"data.flip": True, "data.horizontal_flip": True})


def test_another_familys_setting_of_that_name_is_its_own() -> None:
    tree = {"discriminator": {"family": "mine", "thaw": 3}}
    assert renamed.rename_settings(tree, "here") == tree
    assert renamed.rename_overrides({"discriminator.thaw": 3}, tree, "here") == {"discriminator.thaw": 3}


def test_a_wrong_value_is_named_by_the_new_key() -> None:
    with pytest.raises(UsageError, match=r"'latent\.distribution'"):
        recipes.load("dcgan", {"latent.law": "cauchy"})
    with pytest.raises(UsageError, match=r"'latent' is a group"):
        recipes.load({**NEW, "latent": 3})


def test_the_table_leads_to_settings_that_exist() -> None:
    known = set()
    for name in recipes.names():
        known |= set(recipes.flatten(recipes.load(name).to_dict()))
    for new in renamed.KEYS.values():
        assert any(key == new or key.startswith(f"{new}.") for key in known), new
