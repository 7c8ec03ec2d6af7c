"""Image sources: models, runs, and folders or zips of pictures, as what an evaluation measures."""

from __future__ import annotations

import io
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import Pictures
from kaogan.core.progress import Progress
from kaogan.core.rng import numpy_generator
from kaogan.core.schema import Schema
from kaogan.data import PictureSet, load_pictures
from kaogan.data.cache import cache_folder
from kaogan.data.dataset import AVATARS
from kaogan.data.decoding import FORMATS, BrokenPicture
from kaogan.data.shards.opening import open_images, open_shards
from kaogan.data.sources import open_source
from kaogan.data.storage import is_address
from kaogan.generate.in_processes import ModelFile
from kaogan.generate.model import Model, load
from kaogan.generate.model_io import CONFIG, find_model, model_names, single_config
from kaogan.networks import DISCRIMINATORS

BATCH = 64
LOOKED_AT = 400  # files whose headers tell the size of a folder's pictures


class ImageSource(Protocol):
    name: str
    image_size: int
    channels: int
    count: int
    schema: Schema
    requested: np.ndarray
    """int64 (count, K): the attributes that each picture was asked for, -1 unknown."""
    notes: list[str]
    facts: dict[str, object]
    """What is known of its making: recipe, clock, minutes."""
    run: Path | None
    """The run's folder, if it is of one."""
    trained_against: Sequence[str]
    """Feature networks that the model was trained on, as extractors are called; empty where none is known."""

    def batches(self) -> Iterator[Pictures]: ...

    def work(self) -> Iterator[Pictures | MadeImages]:
        """The batches as other processes can be given them: pictures, or how to make them."""
        ...

    def pictures(self, indices: Sequence[int]) -> Pictures: ...


@dataclass(frozen=True)
class MadeImages:
    """Some pictures of a ``GeneratedImages``, made by whoever calls it."""

    model: ModelFile
    seed: int
    start: int
    requested: np.ndarray
    """int64 (n, K)"""
    keep: float

    def __call__(self) -> Pictures:
        return made_images(self.model.load(), self.seed, self.start, self.requested, self.keep)


def made_images(model: Model, seed: int, start: int, requested: np.ndarray, keep: float) -> Pictures:
    """Pictures ``start``, start + 1, ... with these attributes (n, K)."""
    conditions = model.attributes.encode(requested) if model.attributes else None
    return model.generate(model.latents(len(requested), seed, start=start, keep=keep), conditions)


@dataclass
class GeneratedImages:
    """Pictures drawn from a model, each a function of the seed and its number; made anew when they are asked for."""

    name: str
    model: Model
    count: int
    seed: int = 0
    run: Path | None = None
    notes: list[str] = field(default_factory=list)
    keep: float = 1.0
    """Of ``Model.sample``: all latents unless it is asked for, whatever the model's own default is."""

    def __post_init__(self) -> None:
        self.schema = self.model.attributes
        self.image_size, self.channels = self.model.image_size, self.model.channels
        self.requested = np.empty((self.count, len(self.schema.attributes)), np.int64)
        for column, attribute in enumerate(self.schema.attributes):
            # By their numbers, so that fewer pictures are the first ones of many.
            drawn = numpy_generator(self.seed, f"evaluate/{attribute.name}").random(self.count)
            places = np.searchsorted(np.cumsum(attribute.priors), drawn, side="right")
            self.requested[:, column] = np.minimum(places, max(np.flatnonzero(attribute.priors), default=0))
        config = self.model.config
        self.trained_against: Sequence[str] = trained_against(config, self.run)
        self.facts: dict[str, object] = {
            key: config[key] for key in ("recipe", "clock", "minutes", "machine") if key in config
        }
        if self.keep < 1:
            self.facts["keep"] = self.keep
            self.notes.append(f"drawn from the best {self.keep:.0%} of the latents (--keep {self.keep:g})")
        elif self.model.latent_filter:
            self.notes.append("drawn from all latents (--keep 1), and not with the model's latent filter")

    def batches(self) -> Iterator[Pictures]:
        for part in self.model.parts(self.count):
            yield self._made(part)

    def work(self) -> Iterator[MadeImages]:
        file = ModelFile.of(self.model)
        for part in self.model.parts(self.count):
            yield MadeImages(file, self.seed, part.start, self.requested[part.start : part.stop], self.keep)

    def pictures(self, indices: Sequence[int]) -> Pictures:
        empty = np.empty((0, self.image_size, self.image_size, self.channels), np.uint8)
        return np.concatenate([empty, *(self._made(range(index, index + 1)) for index in map(int, indices))])

    def _made(self, numbers: range) -> Pictures:
        return made_images(
            self.model, self.seed, numbers.start, self.requested[numbers.start : numbers.stop], self.keep
        )


@dataclass
class ImageFolder:
    """The pictures of a folder or a zip, of which at most ``most`` are taken, at random."""

    name: str
    set: PictureSet
    most: int | None = None
    seed: int = 0
    notes: list[str] = field(default_factory=list)
    run: Path | None = None
    trained_against: Sequence[str] = ()

    def __post_init__(self) -> None:
        total = len(self.set)
        self.rows = np.arange(total)
        if self.most is not None and self.most < total:
            self.rows = np.sort(numpy_generator(self.seed, "evaluate/pictures").permutation(total)[: self.most])
        self.count, self.schema, self.requested = len(self.rows), self.set.schema, self.set.labels[self.rows]
        self.image_size, self.channels = self.set.images.shape[1], self.set.images.shape[3]
        self.facts: dict[str, object] = {}

    def batches(self) -> Iterator[Pictures]:
        yield from self.set.batches(BATCH, self.rows)

    work = batches

    def pictures(self, indices: Sequence[int]) -> Pictures:
        return self.set.images[self.rows[np.asarray(indices, np.int64)]]


def open_image_source(
    path: Path,
    count: int,
    *,
    every_picture: bool = False,
    seed: int = 0,
    keep: float = 1.0,
    device: str = "auto",
    progress: Progress | None = None,
) -> ImageSource:
    """A model, a run, or pictures by their path, or a model that comes with kaogan by its name.

    ``count`` pictures are drawn from a model; of plain pictures at most as many are taken, all with ``every_picture``.
    ``keep`` goes to models that have a latent filter. Raises UsageError or KaoganError for what is neither.
    """
    shipped = not path.exists() and str(path) in model_names()
    if shipped or is_model(path):
        folder = find_model(path)
        run = path if folder != path else path.parent if (path.parent / "recipe.yaml").is_file() else None
        if shipped:
            run = None
        name = path.name if folder != path or run is None else f"{run.name}/{path.name}"
        model = load(path, device)
        source = GeneratedImages(name or str(path), model, count, seed, run, keep=keep if model.latent_filter else 1.0)
        if keep < 1 and not model.latent_filter:
            source.notes.append("drawn from all latents: it has no latent filter (kaogan fit-filter)")
        source.notes += _half_done(run, model)
        return source
    if not path.is_dir() and not path.is_file() and not is_address(path):
        raise UsageError(f"no such model, run, folder or zip: {path}")
    if path.is_dir() and (path / "recipe.yaml").is_file():
        find_model(path)  # a run without a model: says so
    size, notes = size_of(path)
    pictures = load_pictures(path, image_size=size, attributes=["auto"], progress=progress)
    if pictures.skipped:
        first, reason = pictures.skipped[0]
        notes.append(f"{len(pictures.skipped)} files skipped, first {first} ({reason})")
    return ImageFolder(path.name or str(path), pictures, None if every_picture else count, seed, notes)


def trained_against(config: Mapping[str, Any], run: Path | None = None) -> list[str]:
    """The feature networks in the discriminator of a model's training: as its config.json says, else by its recipe."""
    trained_against = config.get("trained_against")
    if isinstance(trained_against, list):
        return [str(name) for name in trained_against]
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, KaoganError):
        from kaogan.config import recipes

        if run is not None:
            settings = recipes.load(run / "recipe.yaml").discriminator
            return list(DISCRIMINATORS[settings.family].trained_against(settings))
        # A model of a version that did not say: there was one family with a feature network, and it was the tagger.
        return ["tagger"] if recipes.load(str(config["recipe"])).discriminator.family == "projected" else []
    return []


def is_model(path: Path) -> bool:
    return any((folder / "config.json").is_file() for folder in (path, path / "model"))


def size_of(path: Path) -> tuple[int, list[str]]:
    """``common_size`` of the pictures at ``path``, in shards or not. Raises UsageError and KaoganError."""
    if (index := open_shards(path)) is None:
        with open_source(path) as files:
            return common_size(len(files.listing.entries), lambda rows: map(files.read, rows.tolist()))
    images = open_images(index, path, (1, 3), cache_folder(), workers=0)
    return common_size(len(images), lambda rows: images.reader.read(images.places(rows)))


def common_size(count: int, read: Callable[[np.ndarray], Iterable[bytes | Path]]) -> tuple[int, list[str]]:
    """The short side that most pictures have, and a note when there are others."""
    sizes: Counter[int] = Counter()
    files = iter(read(np.unique(np.linspace(0, count - 1, min(LOOKED_AT, count)).astype(int))))
    while True:
        with suppress(BrokenPicture, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            if (file := next(files, None)) is None:
                break
            sizes[_short_side(file)] += 1
    if not sizes:
        return 64, []  # what is wrong with the pictures is said when they are decoded
    size, common = sizes.most_common(1)[0]
    others = sum(sizes.values()) - common
    if not others:
        return size, []
    share = f"{others} of {sum(sizes.values())} looked at"
    return size, [f"pictures of mixed sizes ({share} differ): all were resized to {size} px, which blurs or sharpens"]


def _short_side(data: bytes | Path) -> int:
    with (
        warnings.catch_warnings(),
        Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=FORMATS) as p,
    ):
        warnings.simplefilter("ignore")
        return min(p.size)


def _half_done(run: Path | None, model: Model) -> list[str]:
    """A note when the run is not at its end."""
    with suppress(OSError, ValueError, KeyError, TypeError, KaoganError):
        if run is not None:
            from kaogan.config import recipes

            wanted = recipes.load(run / "recipe.yaml").training.images
            clock = int(model.config["clock"])
            if clock < wanted:
                return [f"the training is at {clock:,} of {wanted:,} images"]
    return []


def read_lines(path: Path) -> list[dict[str, object]]:
    """The whole lines of a .jsonl; an absent file has none."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                found.append(entry)
    return found


def looks_one_way(path: Path) -> bool:
    """Whether ``path`` is a model of avatars that all look to the right (``data.avatars_mirrored: false``)."""
    with suppress(KaoganError, OSError, ValueError, AttributeError, KeyError, TypeError):
        config = json.loads(single_config(path) or (find_model(path) / CONFIG).read_text(encoding="utf-8"))
        settings = config["settings"]
        mirrored = settings.get("data.avatars_mirrored") is not False or settings.get("data.horizontal_flip")
        return config["data"]["name"] == AVATARS and not mirrored
    return False
