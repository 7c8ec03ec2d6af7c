"""What comes of processing one picture file: accepted crops and rejections."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kaogan.data.sources.parts import Part

UNREAD = "unread"  # the step of a file that could not be read this time: no fault of the picture
SURPLUS = "surplus"  # the step of a face beyond those that are taken from one picture


@dataclass(slots=True)
class EncodedCrop:
    """A picture that passed every check: a face, or the whole picture."""

    data: bytes  # the encoded file; empty once it lies in the store
    length: int  # of the encoded file, bytes
    suffix: str
    width: int
    height: int
    area: int  # px of the source that went into it
    box: tuple[float, float, float, float] | None  # of the face in the upright source: x, y, width, height
    score: float  # of the face finder
    brightness: float
    look: bytes  # of FINGERPRINT
    thumbnail: bytes  # uint8 (32, 32, 3)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A picture or one of its faces that is left out: the step that did it, why, and what it looked like."""

    step: str
    reason: str
    preview: bytes = b""  # JPEG, or empty


File = bytes | Path | Part | Rejection
"""A file to process: its contents, its path, how to read it, or why there are none."""


@dataclass(frozen=True, slots=True)
class ProcessedFile:
    digest: str  # of the file's bytes, 32 hex digits
    width: int  # upright, px; 0 when unknown
    height: int
    found: tuple[EncodedCrop | Rejection, ...]
