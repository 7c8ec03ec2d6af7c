"""Kaogan's own tagger of hair and eyes as a feature extractor: it sees attributes besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from kaogan.core.errors import KaoganError
from kaogan.core.images import Pictures
from kaogan.metrics.features.weights import hash_note

if TYPE_CHECKING:
    from kaogan.aux_models.tagger import Tagger


class TaggerExtractor:
    name, label = "tagger", "tagger"

    def __init__(self, tagger: Tagger) -> None:
        self.tagger = tagger
        self.size, self.fingerprint = int(tagger.feature_size), str(tagger.fingerprint)
        self.attributes: Mapping[str, Sequence[str]] = tagger.values

    def to(self, device: torch.device) -> TaggerExtractor:
        self.tagger.to(device)
        return self

    def __call__(self, pictures: Pictures) -> np.ndarray:
        return self.features_and_attributes(pictures)[0]

    def features_and_attributes(self, pictures: Pictures) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        if pictures.shape[-1] == 1:
            pictures = np.repeat(pictures, 3, -1)
        found = self.tagger.predict(pictures)
        return found.features, found.probabilities


def load(name: str, path: Path | None, download: bool) -> TaggerExtractor:
    from kaogan.aux_models.tagger import load_tagger

    try:
        return TaggerExtractor(load_tagger(path))
    except KaoganError as error:
        if path is not None and path.is_file():
            raise KaoganError(f"{error} ({hash_note(path)})") from error
        raise
