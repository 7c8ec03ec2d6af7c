"""Images for the page, each a function of model and request, and the cache of loaded models."""

from __future__ import annotations

import base64
import importlib
import io
import json
import math
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.images import Pictures, grid
from kaogan.core.picture_files import GAP, enlarge, to_image
from kaogan.core.rng import draw_latents, torch_generator
from kaogan.generate.explore import (
    LatentPoint,
    interpolate,
    iter_render,
    load_directions,
    points,
    render,
    through,
    with_attributes,
    with_styles,
)
from kaogan.generate.explore.direction_labels import describe_directions
from kaogan.generate.explore.paths import default_interpolation
from kaogan.generate.latent_filter import FILTER
from kaogan.generate.model import Model, load
from kaogan.generate.model_io import CONFIG, WEIGHTS
from kaogan.generate.video import write_video
from kaogan.studio.params import FaceId, RenderParams

MAX_MODELS = 4
MAX_BYTES = 2**30  # of the weights of all models in memory
MAX_SIDE = 1024  # px of an upscaled face
METHODS = {"sefa": 8, "pca": 8, "tagger": 0}  # how many directions; the tagger's are those that it knows
FILE_PREFIX = "file:"  # before the name of a file, where a method may stand
MAX_FILM_SIDE = 256  # px

FindFace = Callable[[Model, str], LatentPoint]


def _no_face(model: Model, name: str) -> LatentPoint:
    raise UsageError("there are no found faces here")


@dataclass
class LoadedModel:
    model: Model
    stamp: tuple[float, ...]
    find_file: Callable[[str], Path]  # of directions, by its name
    find_face: FindFace = _no_face  # of an uploaded picture, by its name
    directions: dict[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(value.numel() * value.element_size() for value in self.model.generator.state_dict().values())


class ModelCache:
    """The models used last, loaded again when their files have changed."""

    def __init__(self, find_file: Callable[[str], Path], find_face: FindFace = _no_face) -> None:
        self._find = find_file, find_face
        self._loaded: OrderedDict[Path, LoadedModel] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path) -> LoadedModel:
        """Raises KaoganError for a damaged or vanished model."""
        with self._lock:
            try:
                names = [CONFIG, WEIGHTS, *([FILTER] if (path / FILTER).exists() else [])]
                stamp = tuple((path / name).stat().st_mtime for name in names)
            except OSError:
                raise KaoganError(f"the model {path.name} is gone; choose another one") from None
            known = self._loaded.get(path)
            if known is None or known.stamp != stamp:
                known = self._loaded[path] = LoadedModel(load(path), stamp, *self._find)
            self._loaded.move_to_end(path)
            while len(self._loaded) > 1 and (
                len(self._loaded) > MAX_MODELS or sum(each.bytes for each in self._loaded.values()) > MAX_BYTES
            ):
                self._loaded.popitem(last=False)
            return known


def capabilities() -> dict[str, Any]:
    """Which parts of kaogan are here."""
    return {"directions": _part("find_directions") is not None, "scales": list(upscaler_scales())}


def point_of(loaded: LoadedModel, render_params: RenderParams) -> LatentPoint:
    """The latent point of a face with its attributes and moves. Raises UsageError."""
    model, face = loaded.model, render_params.face
    point = loaded.find_face(model, face.found) if face.found else points(model, face.seed, 1, face.number)[0]
    for step in range(len(face.steps)):
        point = _step(model, point, replace(face, steps=face.steps[: step + 1]))
    point = with_attributes(model, point, render_params.attributes)
    for name, strength in render_params.moves.items():
        directions = directions_of(loaded, render_params.source or _method_of(name))
        point = directions.move(point, name, strength)
    return point


def _step(model: Model, point: LatentPoint, face: FaceId) -> LatentPoint:
    """The last step of ``face`` taken from ``point``: part of the way to a latent of its own.

    Normal latents are turned towards it by up to a right angle, which keeps their distribution however many steps are
    taken (a mean of two would draw them to the middle); uniform ones are turned as the normal ones that they stand for.
    """
    percent, number = face.steps[-1]
    generator = torch_generator(face.seed, f"studio/{replace(face, steps=face.steps[:-1])}/{percent}", number)
    other = draw_latents(1, model.latent_size, "normal", generator)[0]
    uniform = model.config["latent"]["distribution"] == "uniform"
    if point.w is not None:  # a found face of a style network is made from its styles
        (there,) = with_styles(model, [LatentPoint(other, point.condition)])
        assert there.w is not None
        return replace(point, w=point.w.lerp(there.w, percent / 100))
    z = torch.erfinv(point.z.clamp(-1 + 1e-6, 1 - 1e-6)) * math.sqrt(2) if uniform else point.z
    angle = percent / 100 * math.pi / 2
    z = z * math.cos(angle) + other * math.sin(angle)
    return replace(point, z=torch.erf(z / math.sqrt(2)) if uniform else z)


def faces(
    loaded: LoadedModel, seed: int, count: int, truncation: float, attributes: Mapping[str, Any], scale: int = 1
) -> Pictures:
    """The pictures of ``model.sample``, upscaled by ``scale``. Raises UsageError."""
    pictures = loaded.model.sample(count, seed=seed, truncation=truncation, attributes=attributes)
    return upscaled(pictures, scale) if scale > 1 else pictures


def around(
    loaded: LoadedModel, render_params: RenderParams, count: int, percent: int, truncation: float
) -> tuple[list[FaceId], Pictures]:
    """``count`` neighbours of a face, moved and coloured as it is. Raises UsageError."""
    named = [render_params.face.neighbour(percent, number) for number in range(count)]
    found = [point_of(loaded, replace(render_params, face=face)) for face in named]
    return named, render(loaded.model, found, truncation)


def one(loaded: LoadedModel, render_params: RenderParams, truncation: float, scale: int = 1) -> Pictures:
    """One picture (1, H, W, C), upscaled by ``scale``. Raises UsageError."""
    pictures = render(loaded.model, [point_of(loaded, render_params)], truncation)
    return upscaled(pictures, scale) if scale > 1 else pictures


def previews(
    loaded: LoadedModel, render_params: RenderParams, method: str, strength: float, truncation: float
) -> dict[str, Pictures]:
    """For each direction the face moved against it and along it, (2, H, W, C). Raises UsageError."""
    found, start = directions_of(loaded, method), point_of(loaded, replace(render_params, moves={}))
    ends = [found.move(start, name, end) for name in found.names for end in (-strength, strength)]
    pictures = render(loaded.model, ends, truncation)
    return {name: pictures[2 * at : 2 * at + 2] for at, name in enumerate(found.names)}


def labels_of(loaded: LoadedModel, method: str) -> dict[str, tuple[str, str]]:
    """What each direction of a method or a file changes, in words. Raises UsageError."""
    found = directions_of(loaded, method)
    if method == "tagger":
        return {name: ("less", f"{name.partition('=')[2]} {name.partition('=')[0]}") for name in found.names}
    key = f"labels {method}"
    if key not in loaded.directions:
        named = all("=" in name for name in found.names) or method.startswith(FILE_PREFIX)
        ways = dict.fromkeys(found.names, ("this way", "that way"))
        loaded.directions[key] = {} if named else ways | describe_directions(loaded.model, found)
    labels: dict[str, tuple[str, str]] = loaded.directions[key]
    return labels


def morph(loaded: LoadedModel, first: RenderParams, last: RenderParams, steps: int, truncation: float) -> Pictures:
    """The way from one face to another. Raises UsageError."""
    return render(loaded.model, _points_between(loaded, first, last, steps), truncation)


def _points_between(loaded: LoadedModel, first: RenderParams, last: RenderParams, steps: int) -> list[LatentPoint]:
    start, end = _in_one_space(loaded.model, [point_of(loaded, first), point_of(loaded, last)])
    return interpolate(start, end, steps, default_interpolation(loaded.model))


def _in_one_space(model: Model, points: list[LatentPoint]) -> list[LatentPoint]:
    """All with their styles as soon as one has them, as a moved face of a style network does."""
    return with_styles(model, points) if any(each.w is not None for each in points) else points


def walk_film(
    loaded: LoadedModel, stops: Sequence[RenderParams], steps: int, loop: bool, truncation: float,
    path: Path, fps: float, progress: Callable[[int, int], None],
) -> Path:  # fmt: skip
    """A film from face to face, ``steps`` frames each, written as the ending of ``path`` says. Raises KaoganError."""
    model = loaded.model
    on_the_way = _in_one_space(model, [point_of(loaded, stop) for stop in stops])
    if loop:
        on_the_way = [*on_the_way, on_the_way[0]]
    track = through(on_the_way, steps, default_interpolation(model), closed=loop)
    side = model.image_size * max(1, round(MAX_FILM_SIDE / model.image_size))

    def frames() -> Iterable[np.ndarray]:
        done = 0
        for chunk in iter_render(model, track, truncation):
            for frame in enlarge(chunk, side):
                progress(done, len(track))
                done += 1
                yield frame

    return write_video(frames(), path, fps)


def directions_of(loaded: LoadedModel, method: str) -> Any:
    """The directions of a model, found once. Raises UsageError."""
    find = _part("find_directions")
    if find is None:
        raise UsageError("this kaogan has no directions")
    if method.startswith(FILE_PREFIX):
        return _of_file(loaded, loaded.find_file(method.removeprefix(FILE_PREFIX)))
    if method not in METHODS:
        raise UsageError(f"unknown method '{method[:40]}'{nearest(method, METHODS)}")
    if method not in loaded.directions:
        few = min(METHODS[method], loaded.model.latent_size)
        loaded.directions[method] = find(loaded.model, method, **({"count": few} if few else {})).bind(loaded.model)
    return loaded.directions[method]


def _of_file(loaded: LoadedModel, path: Path) -> Any:
    """Raises KaoganError for a damaged file, UsageError for directions of another model."""
    try:
        key = f"{path} {path.stat().st_mtime_ns}"
    except OSError:
        raise KaoganError(f"the file {path.name} is gone; choose other directions") from None
    if key not in loaded.directions:
        loaded.directions[key] = load_directions(path).bind(loaded.model)
    return loaded.directions[key]


def fitting(loaded: LoadedModel, files: Mapping[str, Path]) -> list[str]:
    """The names of those files whose directions are of this kind of model."""
    names = []
    for name, path in files.items():
        with suppress(KaoganError):
            _of_file(loaded, path)
            names.append(name)
    return names


def _method_of(name: str) -> str:
    return next((method for method in ("sefa", "pca") if name.startswith(method)), "tagger")


def _part(name: str) -> Any:
    return getattr(importlib.import_module("kaogan.generate.explore"), name, None)


def upscaler_scales() -> tuple[int, ...]:
    upscaler = _upscaler()
    return tuple(upscaler.scales) if upscaler else ()


def upscaled(pictures: Pictures, scale: int) -> Pictures:
    """Raises UsageError."""
    upscaler = _upscaler()
    if upscaler is None:
        raise UsageError("this kaogan has no upscaler")
    if scale not in upscaler.scales:
        raise UsageError(f"the scale must be one of {', '.join(map(str, upscaler.scales))}, not {scale}")
    if max(pictures.shape[1:3]) * scale > MAX_SIDE:
        raise UsageError(f"pictures of {pictures.shape[1]} px become too large for the studio at ×{scale}")
    enlarged: Pictures = upscaler.upscale(pictures, scale=scale)
    return enlarged


_UPSCALERS: list[Any] = []  # one, loaded at the first use; None where there is none


def _upscaler() -> Any:
    if not _UPSCALERS:
        try:
            _UPSCALERS.append(importlib.import_module("kaogan.aux_models.upscaler").load_upscaler("kao-sr"))
        except (ImportError, AttributeError, KaoganError):
            _UPSCALERS.append(None)
    return _UPSCALERS[0]


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    to_image(picture).save(file, "PNG", compress_level=3)
    return file.getvalue()


def data_url(picture: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def sheet(pictures: Pictures) -> bytes:
    return png(grid(pictures, math.ceil(math.sqrt(len(pictures))), GAP))


def archive(pictures: Pictures, names: Sequence[str], settings: Mapping[str, Any]) -> bytes:
    """A zip of all pictures, one sheet of them, and what they were made from."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:  # PNGs do not get smaller
        for name, picture in zip(names, pictures, strict=True):
            packed.writestr(_entry(f"{name}.png"), png(picture))
        packed.writestr(_entry("sheet.png"), sheet(pictures))
        packed.writestr(_entry("settings.json"), json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
    return file.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    """Without the time, so that the same request gives the same bytes."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
