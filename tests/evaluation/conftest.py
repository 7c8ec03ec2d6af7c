"""Fixtures of ``evaluate``'s tests: a small extractor in the tagger's place, real faces, a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from kaogan.core.errors import KaoganError
from kaogan.core.images import Pictures
from kaogan.core.schema import HAIR
from kaogan.data.avatars import write_set
from kaogan.evaluation import runner as evaluation
from kaogan.evaluation.runner import evaluate
from kaogan.metrics import features
from tests.generate.conftest import tiny_model

SIZE = 16


class SmallExtractor:
    """Mean colours of quarters as features; hair is read off the brightness of the first pixel."""

    name, label, size, fingerprint = "tagger", "tagger", 12, "f1"
    attributes: ClassVar = {"hair": HAIR}
    calls = 0

    def features_and_attributes(self, pictures: Pictures) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        SmallExtractor.calls += len(pictures)
        pictures = np.repeat(pictures, 3, -1) if pictures.shape[-1] == 1 else pictures
        n, h, w, _ = pictures.shape
        quarters = pictures.reshape(n, 2, h // 2, 2, w // 2, 3).mean((2, 4), dtype=np.float64)
        hair = np.eye(len(HAIR), dtype=np.float32)[pictures[:, 0, 0, 0] // 20 % len(HAIR)]
        return quarters.reshape(n, 12).astype(np.float32), {"hair": hair}

    def __call__(self, pictures: Pictures) -> np.ndarray:
        return self.features_and_attributes(pictures)[0]


@pytest.fixture
def small_extractor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def load(word: str, **options: Any) -> Any:
        if word == "broken":
            raise KaoganError("the weights of broken are not here")
        return SmallExtractor() if word == "tagger" else features.load_extractor(word, **options)

    monkeypatch.setattr(evaluation, "load_extractor", load)
    monkeypatch.setattr(evaluate, "__kwdefaults__", evaluate.__kwdefaults__ | {"features": ("tagger",)})
    monkeypatch.setenv("KAOGAN_CACHE", str(tmp_path / "cache"))
    SmallExtractor.calls = 0


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real") / "faces"
    write_set(folder, 120, SIZE, 0)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with a model with attributes."""
    folder = tmp_path / "run"
    tiny_model().save(folder / "model")
    (folder / "recipe.yaml").write_text("name: tiny\n")
    return folder
