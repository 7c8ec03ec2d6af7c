"""The tagger: one small network for hair and eye colours, face or not, good or broken, and the features behind them.

The names are looked up on first use, so that ``import kaogan.aux_models.tagger`` does not pull in torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaogan.core.lazy_names import lazy_names

if TYPE_CHECKING:
    from kaogan.aux_models.tagger.predict import Prediction, Tagger, load_tagger

__all__ = ["Prediction", "Tagger", "load_tagger"]

__getattr__ = lazy_names(__name__, {".predict": __all__})
