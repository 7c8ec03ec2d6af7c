"""``kaogan prepare``: from any heap of pictures to a clean, cropped, tagged set.

Each step can be used alone: ``checks.measure``, ``hashing.perceptual_hash``, ``duplicates.find_copies``,
``examine.examine``, ``split.assign``.
"""

from kaogan.prepare.pipeline import Outcome, prepare
from kaogan.prepare.settings import Settings, make_settings

__all__ = ["Outcome", "Settings", "make_settings", "prepare"]
