"""Files of ``kaogan sample``: grids, single pictures, and grids over attributes (``--mode``).

The modes are those of ``test.py`` in bchao1/Anime-Generation: ``fix_noise``, ``fix``, ``change_<attribute>``.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from kaogan.core.errors import UsageError, nearest
from kaogan.core.images import Pictures, grid
from kaogan.core.picture_files import (
    GAP,
    Writer,
    check_format,
    check_size,
    format_of,
    labelled_grid,
    write_picture,
)
from kaogan.core.progress import Progress
from kaogan.core.schema import Attribute, Schema
from kaogan.core.worker_pool import WorkerPool
from kaogan.generate.attribute_requests import AttributeRequest, AttributeRequests, merge_requests
from kaogan.generate.in_processes import ModelFile, SamplePart, UpscalerFile
from kaogan.generate.model import Model

if TYPE_CHECKING:
    from kaogan.aux_models.upscaler.model import Upscaler

MOST = 10_000_000  # pictures of one call: their paths are kept
FIXED = 64  # pictures of the mode ``fix``, 8 × 8


def write_samples(
    model: Model,
    out: Path,
    *,
    count: int = 64,
    seed: int = 0,
    rows: int | None = None,
    separate: bool = False,
    truncation: float = 1.0,
    format: str = "png",
    attributes: AttributeRequests | None = None,
    progress: Progress | None = None,
    upscaler: Upscaler | None = None,
    scale: int = 1,
    pool: WorkerPool | None = None,
) -> list[Path]:
    """Draw ``count`` pictures and write them as one grid, or with ``separate`` as 00000.png, 00001.png, ...

    ``out`` is the grid's file, whose ending is its format, or a folder, which then gets ``samples.<format>``. Without
    ``rows`` the grid is as square as it can be. With ``upscaler`` every picture is made ``scale`` times as
    large. The processes of ``pool`` draw, if it is given. Returns what was written. Raises UsageError or KaoganError.
    """
    if not 1 <= count <= MOST:
        bound = "1 or more" if count < 1 else f"at most {MOST:,} a call"
        raise UsageError(f"the number of pictures must be {bound}, not {count}")
    if rows is not None and rows < 1:
        raise UsageError(f"a grid has 1 row or more, not {rows}")
    batches = model.iter_samples(count, seed=seed, truncation=truncation, attributes=attributes)
    if pool is not None:
        sample = SamplePart(ModelFile.of(model), count, seed, truncation, attributes or {}, model.keep)
        enlarging = None if upscaler is None else UpscalerFile.of(upscaler)
        batches = (made for _, made in pool.map(partial(_sample, sample, enlarging, scale), model.parts(count)))
    elif upscaler is not None:
        batches = map(partial(upscaler.upscale, scale=scale), batches)
    if separate:
        if format_of(out) or out.is_file():
            raise UsageError(f"{out} is a file; name a folder for single pictures")
        digits = max(5, len(str(count - 1)))
        paths = [out / f"{number:0{digits}}.{check_format(format)}" for number in range(count)]
        done = 0
        with Writer() as writer:
            for batch in batches:
                for picture in batch:
                    writer.put(picture, paths[done])
                    done += 1
                if progress:
                    progress(done, count, "sampling")
        return paths
    path = picture_path(out, "samples", format)
    columns = math.ceil(count / rows) if rows else math.ceil(math.sqrt(count))
    step = model.image_size * scale + GAP
    check_size(math.ceil(count / columns) * step + GAP, columns * step + GAP, check_format(path.suffix))
    pictures = []
    for batch in batches:
        pictures += list(batch)
        if progress:
            progress(len(pictures), count, "sampling")
    return [write_picture(grid(np.stack(pictures), columns, GAP), path)]


def _sample(sample: SamplePart, upscaler: UpscalerFile | None, scale: int, part: range) -> Pictures:
    return upscaler.load().upscale(sample(part), scale) if upscaler else sample(part)


def write_mode(
    model: Model,
    mode: str,
    out: Path,
    *,
    seed: int = 0,
    truncation: float = 1.0,
    format: str = "png",
    attributes: AttributeRequests | None = None,
) -> Path:
    """Draw one of ``modes(model.attributes)`` and write it to ``out``, a file or a folder. Raises UsageError."""
    path = picture_path(out, mode, format)
    return write_picture(mode_picture(model, mode, seed=seed, truncation=truncation, attributes=attributes), path)


def modes(schema: Schema) -> list[str]:
    """The names of the modes that a model with these attributes has."""
    several = ["fix_noise"] if len(schema.names) > 1 else []
    return [*several, "fix", *(f"change_{name}" for name in schema.names)] if schema else []


def mode_picture(
    model: Model,
    mode: str,
    *,
    seed: int = 0,
    truncation: float = 1.0,
    attributes: AttributeRequests | None = None,
) -> np.ndarray:
    """One picture (H, W, C): ``fix_noise`` a map of two attributes, ``fix`` many faces of the same attributes,
    ``change_hair`` one face with every hair. Raises UsageError."""
    known = modes(model.attributes)
    if not known:
        raise UsageError(f"mode '{mode}' needs a model with attributes; this one was trained without")
    if mode not in known:
        raise UsageError(f"unknown mode '{mode}'{nearest(mode, known)}")
    if mode == "fix_noise":
        return attribute_map(model, None, None, seed, True, truncation, attributes)
    if mode == "fix":
        return fixed_grid(model, FIXED, seed, 8, truncation, attributes)
    return attribute_strip(model, mode.removeprefix("change_"), seed, True, truncation, attributes)


def attribute_map(
    model: Model,
    rows: str | None = None,
    columns: str | None = None,
    seed: int = 0,
    labelled: bool = True,
    truncation: float = 1.0,
    attributes: AttributeRequests | None = None,
    **named: AttributeRequest,
) -> np.ndarray:
    """One latent with every value of two attributes, uint8 (H, W, C).

    Without names the columns are the model's first attribute and the rows its second: twelve hairs by ten eyes. Further
    attributes are as asked for or drawn once. Raises UsageError for a model with fewer than two attributes.
    """
    names = model.attributes.names
    columns = columns or next((name for name in names if name != rows), None)
    rows = rows or next((name for name in names if name != columns), None)
    if not names:
        raise UsageError("a map needs a model with attributes; this one was trained without")
    if rows is None or columns is None or rows == columns:
        raise UsageError(f"a map needs two different attributes; this model has {', '.join(names)}")
    down, across = model.attributes[rows], model.attributes[columns]
    fixed = merge_requests(attributes, named)
    _refuse(fixed, (rows, columns))
    _check_sheet(model, len(down.values), len(across.values))
    pairs = list(product(down.values, across.values))
    conditions = _same(model, len(pairs), seed, fixed)
    _set(model.attributes, conditions, down, [row for row, _ in pairs])
    _set(model.attributes, conditions, across, [column for _, column in pairs])
    pictures = model.generate(model.latents(1, seed, truncation).expand(len(pairs), -1), conditions, truncation)
    return labelled_grid(pictures, down.values, across.values) if labelled else grid(pictures, len(across.values), GAP)


def attribute_strip(
    model: Model,
    name: str,
    seed: int = 0,
    labelled: bool = True,
    truncation: float = 1.0,
    attributes: AttributeRequests | None = None,
    **named: AttributeRequest,
) -> np.ndarray:
    """One latent with every value of one attribute, in one row; the others as asked for or drawn once."""
    attribute = model.attributes[name]
    fixed = merge_requests(attributes, named)
    _refuse(fixed, (name,))
    count = len(attribute.values)
    _check_sheet(model, 1, count)
    conditions = _same(model, count, seed, fixed)
    _set(model.attributes, conditions, attribute, list(attribute.values))
    pictures = model.generate(model.latents(1, seed, truncation).expand(count, -1), conditions, truncation)
    return labelled_grid(pictures, (), attribute.values) if labelled else grid(pictures, count, GAP)


def fixed_grid(
    model: Model,
    count: int = FIXED,
    seed: int = 0,
    columns: int = 8,
    truncation: float = 1.0,
    attributes: AttributeRequests | None = None,
    **named: AttributeRequest,
) -> np.ndarray:
    """``count`` latents that all have the same attributes; those not named are drawn once."""
    if not model.attributes:
        raise UsageError("fixed attributes need a model with attributes; this one was trained without")
    conditions = _same(model, count, seed, merge_requests(attributes, named))
    return grid(model.generate(model.latents(count, seed, truncation), conditions, truncation), columns, GAP)


def picture_path(out: Path, stem: str, format: str) -> Path:
    """``out`` itself when it is a picture's name, else a picture in the folder ``out``. Raises UsageError."""
    if format_of(out):
        return out
    if out.is_file():
        raise UsageError(f"{out} is a file, but not a picture's name; name a folder or a .png, .jpg or .webp")
    return out / f"{stem}.{check_format(format)}"


def _check_sheet(model: Model, rows: int, columns: int) -> None:
    """Raises UsageError for a sheet that is too large, before anything is drawn."""
    step = model.image_size + GAP
    check_size(rows * step + GAP, columns * step + GAP, "png")


def _same(model: Model, count: int, seed: int, fixed: AttributeRequests) -> Tensor:
    """The conditions of picture 0 for ``count`` pictures, (count, A)."""
    return model.conditions(1, seed, 0, fixed).repeat(count, 1)


def _set(schema: Schema, conditions: Tensor, attribute: Attribute, values: list[str]) -> None:
    part = schema.slices[schema.names.index(attribute.name)]
    conditions[:, part] = 0
    conditions[range(len(values)), [part.start + attribute.index(value) for value in values]] = 1


def _refuse(fixed: AttributeRequests, varied: tuple[str, ...]) -> None:
    for name in varied:
        if fixed.get(name) is not None:
            raise UsageError(f"'{name}' takes all of its values here; leave it out")
