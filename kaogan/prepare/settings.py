"""Settings of ``kaogan prepare``: each step is switched or tuned by its own few."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from kaogan.core.errors import UsageError, nearest

Share = Annotated[float, Field(ge=0, le=1)]
VERSION = 1  # raise it when the same picture and settings would give other bytes


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Picture(Section):
    """What happens to each picture on its own. Any change here means that every picture is worked on again."""

    crop: Literal["faces", "center", "none"] = Field(
        "faces", description="what is cut out: faces, center (a square) or none"
    )
    size: int | None = Field(64, ge=8, le=4096, description="short side of the result, px; 0 leaves it as it is")
    margin: float = Field(0.25, ge=0, le=2, description="around a face, as a share of its size")
    square: bool = Field(True, description="widen a face's box to a square")
    faces: int = Field(20, ge=1, le=1000, description="most faces taken from one picture, the surest first")
    upright: bool = Field(False, description="turn a tilted face upright by its eyes")
    face_score: float | None = Field(
        None, gt=0, lt=1, description="how sure a face must be; by default as the face finder was measured"
    )
    smallest: int | None = Field(
        None, ge=1, description="smallest useful picture or face, px; by default three quarters of the size"
    )
    contrast: float = Field(12, ge=0, le=128, description="less spread of grey levels is near-monochrome; 0 is off")
    plain: Share = Field(0.95, description="a larger share of one colour is near-monochrome; 1 is off")
    sharpness: float = Field(0.06, ge=0, le=10, description="less is blurred; 0 is off")
    format: Literal["keep", "png", "jpg", "webp"] = Field(
        "keep", description="of the pictures: keep (untouched as they are, others as JPEG or PNG), png, jpg or webp"
    )
    quality: int = Field(95, ge=1, le=100, description="of JPEG and WebP")

    @property
    def smallest_side(self) -> int:
        return self.smallest if self.smallest is not None else max(1, 3 * (self.size or 64) // 4)


class Twins(Section):
    enabled: bool = Field(True, description="drop exact and near duplicates, mirrored ones too")
    difference: float = Field(
        16, ge=0, le=255, description="most that a patch of two twins may differ after alignment, grey levels"
    )
    mirrored: bool = Field(True, description="also take mirror images for twins")


class Tags(Section):
    enabled: bool = Field(True, description="tag hair and eye colours that no labels.csv gives")
    confidence: Share = Field(0.5, description="a colour less sure than this is left unknown")
    check: bool = Field(False, description="list the labels that the tagger doubts in doubtful.csv")
    doubt: Share = Field(0.8, description="how sure the tagger must be of another value to doubt a label")
    classes: bool = Field(False, description="without a labels.csv, take sub-folders as the label 'class'")


class Blur(Section):
    """The companion set of BaMSGAN, with the flags of its blur.py."""

    enabled: bool = Field(False, description="also write OUT-blurred, with blurred edges")
    ratio: Share = Field(1.0, description="share of the pictures that get a blurred companion")
    t1: float = Field(200, ge=0, description="lower Canny threshold")
    t2: float = Field(500, ge=0, description="upper Canny threshold")

    @model_validator(mode="after")
    def _check(self) -> Blur:
        if self.t1 > self.t2:
            raise ValueError(f"t1 must not exceed t2, but {self.t1:g} > {self.t2:g}")
        return self


class PrepareSettings(Section):
    picture: Picture = Picture()
    twins: Twins = Twins()
    tags: Tags = Tags()
    blur: Blur = Blur()
    split: dict[str, float] = Field(
        default_factory=dict, description="parts with their shares, as in train=0.9,test=0.1"
    )
    labels: Literal["kaogan", "huggingface"] = Field(
        "kaogan", description="spelling: kaogan (labels.csv) or huggingface (metadata.csv as well)"
    )
    shards: int | None = Field(
        None, ge=1, le=1_000_000,
        description="pictures in a shard: write tar files with an index, for sets of millions, in place of a folder",
    )  # fmt: skip
    licence: str = Field("", max_length=10_000, description="a note on the rights in the pictures")

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        tree: dict[str, Any] = handler(self)
        if self.shards is None:  # so that the records and digests of sets in folders stay what they were
            tree.pop("shards", None)
        return tree

    @model_validator(mode="after")
    def _check(self) -> PrepareSettings:
        for name, share in self.split.items():
            if not name.isidentifier() or not name.isascii():
                raise ValueError(f"part '{name}' of the split: letters, digits and _ only")
            if name.lower() in ("images", "blurred"):
                raise ValueError(f"part '{name}' of the split would be mistaken for a folder of pictures")
            if not 0 < share <= 1:
                raise ValueError(f"part '{name}' of the split: a share above 0 and up to 1, not {share:g}")
        if self.split and abs(sum(self.split.values()) - 1) > 1e-6:
            raise ValueError(f"the shares of the split must sum to 1, not {sum(self.split.values()):g}")
        return self


def make_settings(tree: dict[str, Any]) -> PrepareSettings:
    """Validated settings from nested dicts. Raises UsageError that names the setting."""
    try:
        return PrepareSettings.model_validate(tree)
    except ValidationError as error:
        raise UsageError("; ".join(map(_explain, error.errors()))) from None


def describe(setting: str) -> tuple[str, Any]:
    """(what ``picture.size`` and the like are, their default for a help page, None where there is nothing to show)."""
    *sections, name = setting.split(".")
    model: Any = PrepareSettings
    for section in sections:
        model = model.model_fields[section].annotation
    found = model.model_fields[name]
    default = found.get_default(call_default_factory=True)
    words = found.description or ""
    return words[:1].upper() + words[1:] + ".", None if default in ("", {}) else default


def parse_split(text: str) -> dict[str, float]:
    """``train=0.9,test=0.1`` -> its shares. Raises UsageError."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, share = (word.strip() for word in part.partition("="))
        try:
            if not (equals and name) or name in shares:
                raise ValueError
            shares[name] = float(share)
        except ValueError:
            raise UsageError(f"--split {text}: spelt NAME=SHARE,NAME=SHARE, as in train=0.9,test=0.1") from None
    return shares


def settings_digest(*parts: object) -> str:
    """32 hex digits that change when any part (settings or JSON values) does."""
    plain = [part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts]
    text = json.dumps([VERSION, *plain], ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def _explain(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        section: Any = PrepareSettings
        for part in problem["loc"][:-1]:
            section = section.model_fields[part].annotation
        return f"unknown setting '{key}'{nearest(key.split('.')[-1], section.model_fields)}"
    given = problem["input"]
    shown = "" if isinstance(given, dict | BaseModel) else f", not {given!r}"
    return f"{key + ': ' if key else ''}{message[0].lower()}{message[1:]}{shown}"
