"""BaMSGAN's folders (system B): ``data_original/class``, ``data_blur/class`` and ``data_his/class``.

The blurred set, which its blur.py makes from the first tenth of the pictures, is made here too, with kaogan's
``blur_edges``; the history, which its training fills, starts empty. When read, both are left alone: neither holds data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from kaogan.core.errors import KaoganError
from kaogan.data.edge_blur import blur_edges
from kaogan.data.formats.base import (
    PLAIN,
    QUALITY,
    Collection,
    Job,
    collect,
    safe_name,
    without_common_folder,
    write_file,
)
from kaogan.data.sources.base import open_source

NAME = "bamsgan"
TITLE = "BaMSGAN: data_original/class with its data_blur/class and data_his/class"
WRITES_FILE = False
ORIGINAL, BLUR, HISTORY = "data_original", "data_blur", "data_his"
BLUR_RATIO = 0.1


def detect(path: Path) -> bool:
    return (path / ORIGINAL).is_dir()


@contextmanager
def read(path: Path) -> Iterator[Collection]:
    if not (path / ORIGINAL).is_dir():
        raise KaoganError(f"{path} holds no folder {ORIGINAL}; name the folder that it lies in")
    with open_source(path) as source:
        names = [entry.name for entry in source.listing.entries]
        indices = [index for index, name in enumerate(names) if name.startswith(f"{ORIGINAL}/")]
        notes = []
        for folder, what in ((BLUR, "blurred pictures"), (HISTORY, "pictures of the memory")):
            if count := sum(name.startswith(f"{folder}/") for name in names):
                notes.append(f"{count:,} {what} in {folder} left out: they are no data")
        kept = without_common_folder([names[index] for index in indices])
        yield collect(source, notes=notes, indices=indices, names=kept)


def write(job: Job, out: Path) -> None:
    job.drop_labels("this format")
    blurred = round(BLUR_RATIO * job.collection.count)
    for folder in (ORIGINAL, BLUR, HISTORY):
        (out / folder / "class").mkdir(parents=True)
    taken: set[str] = set()
    for number, picture in enumerate(job.pictures(PLAIN, plain=True)):
        name = safe_name(picture.name, picture.suffix, taken, flat=True)
        write_file(out / ORIGINAL / "class" / name, picture.data)
        if number < blurred:
            soft = blur_edges(np.asarray(picture.picture)[None])[0]
            Image.fromarray(soft).save(out / BLUR / "class" / f"blurred_{number}.jpg", quality=QUALITY, subsampling=0)
