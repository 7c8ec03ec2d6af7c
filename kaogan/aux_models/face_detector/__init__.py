"""Finding faces: ``load_detector().find(picture)`` gives boxes, ``crop`` cuts one out."""

from kaogan.aux_models.face_detector.boxes import Face, crop, non_max_suppression
from kaogan.aux_models.face_detector.detector import Detector, load_detector, looked_for

__all__ = ["Detector", "Face", "crop", "load_detector", "looked_for", "non_max_suppression"]
