"""Blurred companion dataset of BaMSGAN: the same pictures with blurred edges, in a folder beside the set.

Beside and not inside, because a training on the set would take it for real pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from kaogan.core.progress import Progress
from kaogan.data.decoding import read_picture
from kaogan.prepare.crops import Crop
from kaogan.prepare.image_store import ImageStore
from kaogan.prepare.process_image import encoded
from kaogan.prepare.settings import PrepareSettings, settings_digest
from kaogan.prepare.split import share_of


def write_blurred(
    settings: PrepareSettings,
    store: ImageStore,
    out: Path,
    pictures: Sequence[tuple[str, Crop]],
    progress: Progress | None,
) -> list[str]:
    """Write what is missing of ``OUT-blurred``; returns the paths, relative to ``out``, of all that belongs to it."""
    if not settings.blur.enabled:
        return []
    from kaogan.data.edge_blur import blur_edges

    print_of = settings_digest(settings.blur, "edges")[:8]
    chosen = [(path, crop) for path, crop in pictures if share_of(crop.key, "blur") < settings.blur.ratio]
    paths = []
    for done, (path, crop) in enumerate(chosen, 1):
        target = f"../{out.name}-blurred/{Path(path).with_suffix('.png').as_posix()}"
        key = f"blurred-{print_of}-{crop.key}"
        if not store.holds(target, key):
            found = store.find(crop.key, crop.suffix, crop.bytes)
            picture = np.asarray(read_picture(found or out / path))
            soft = blur_edges(picture[None], low=settings.blur.t1, high=settings.blur.t2)[0]
            store.write(target, key, encoded(Image.fromarray(soft), "PNG"))
        paths.append(target)
        if progress:
            progress(done, len(chosen), "blurring edges")
    return paths
