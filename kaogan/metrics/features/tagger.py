"""Kaogan's own tagger of hair and eyes as an extractor: the default, embedded, for pictures of anime faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.core.images import Pictures
from kaogan.metrics.features.weights import told

if TYPE_CHECKING:
    from kaogan.aux_models.tagger import Prediction, Tagger


class TaggerExtractor:
    name, label = "tagger", "tagger"

    def __init__(self, tagger: Tagger) -> None:
        self.tagger = tagger
        self.size, self.fingerprint = int(tagger.feature_size), str(tagger.fingerprint)

    def __call__(self, pictures: Pictures) -> np.ndarray:
        return self.predict(pictures).features

    def predict(self, pictures: Pictures) -> Prediction:
        """Features and attributes of one pass."""
        if pictures.shape[-1] == 1:
            pictures = np.repeat(pictures, 3, -1)
        return self.tagger.predict(pictures)


def load(name: str, path: Path | None, download: bool) -> TaggerExtractor:
    from kaogan.aux_models.tagger import load_tagger

    try:
        return TaggerExtractor(load_tagger(path))
    except KaoganError as error:
        if path is not None and path.is_file():
            raise KaoganError(f"{error} ({told(path)})") from error
        raise
