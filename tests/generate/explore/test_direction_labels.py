"""Labels of directions, on images whose change is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from kaogan.generate.explore import direction_labels
from kaogan.generate.explore.direction_labels import describe_directions, measure


def face(light: float = 0.5, width: int = 16) -> np.ndarray:
    """Blue hair above and at the sides, skin in the middle."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:] = (30, 60, 180)
    picture[10:, 16 - width // 2 : 16 + width // 2] = (250, 220, 200)
    return (picture * light * 2).clip(0, 255).astype(np.uint8)


def test_measures_follow_what_is_drawn():
    dark, light, wide, left = face(0.3), face(), face(width=28), np.roll(face(), -6, axis=1)
    values = measure(np.stack([dark, light, wide, left]))
    assert values["lightness"][0] < values["lightness"][1]
    assert values["hair"][1] > values["hair"][2] and values["skin"][1] < values["skin"][2]
    assert values["turn"][3] < values["turn"][1]
    grey = measure(np.stack([dark, light])[..., :1])
    assert not grey["saturation"].any() and grey["lightness"].shape == (2,)


def test_directions_are_named_by_what_they_change(monkeypatch):
    """Three directions: lighter, the other way about and weaker, and one along which nothing happens."""
    rng = np.random.default_rng(0)
    strengths = {"a": 0.08, "b": -0.04, "c": 0.0}
    bound = SimpleNamespace(names=tuple(strengths), move=lambda point, name, end: point + end * strengths[name])
    lights = list(rng.uniform(0.4, 0.6, direction_labels.SAMPLES))
    monkeypatch.setattr(direction_labels, "points", lambda model, seed, count: lights)
    monkeypatch.setattr(
        direction_labels, "render", lambda model, found: np.stack([face(max(0.05, each)) for each in found])
    )
    tagger = SimpleNamespace(
        values={"hair": ("blue", "red")},
        predict=lambda pictures: SimpleNamespace(probabilities={"hair": np.full((len(pictures), 2), 0.5)}),
    )
    labels = describe_directions(SimpleNamespace(keeping=lambda keep: None), bound, tagger)
    assert set(labels) == {"a", "b"}, "nothing changes along c"
    assert len({frozenset(label) for label in labels.values()}) == 2, "each label once"
    assert "lighter" in {labels["a"][1], labels["b"][0]} or labels["a"][1] in ("stronger", "lighter ground")
