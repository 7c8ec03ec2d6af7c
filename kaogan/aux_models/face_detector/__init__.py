"""Face detector: ``load_detector().find(picture)`` gives boxes, ``crop`` cuts one out."""

from kaogan.aux_models.face_detector.boxes import Face, crop, non_max_suppression
from kaogan.aux_models.face_detector.detector import Detector, load_detector, smallest_side

__all__ = ["Detector", "Face", "crop", "load_detector", "non_max_suppression", "smallest_side"]
