"""Blurred companion dataset of BaMSGAN: the same pictures with blurred edges, in a folder beside the set.

Beside and not inside, because a training on the set would take it for real pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from kaogan.data.decoding import read_picture
from kaogan.prepare.context import RunContext
from kaogan.prepare.crops import Crop
from kaogan.prepare.process_image import encoded
from kaogan.prepare.settings import settings_digest
from kaogan.prepare.split import share_of


def write_blurred(run: RunContext, pictures: Sequence[tuple[str, Crop]]) -> list[str]:
    """Write what is missing of ``OUT-blurred``; returns the paths, relative to ``out``, of all that belongs to it."""
    blur, store = run.settings.blur, run.store
    if not blur.enabled:
        return []
    from kaogan.data.edge_blur import blur_edges

    # A crop's key is its source and number only: what else it depends on is in the digest of the picture settings.
    print_of = settings_digest(blur, run.manifest.get("picture"), "edges")[:8]
    chosen = [(path, crop) for path, crop in pictures if share_of(crop.key, "blur") < blur.ratio]
    paths = []
    for done, (path, crop) in enumerate(chosen, 1):
        target = f"../{run.out.name}-blurred/{Path(path).with_suffix('.png').as_posix()}"
        key = f"blurred-{print_of}-{crop.key}"
        if not store.holds(target, key):
            found = store.find(crop.key, crop.suffix, crop.bytes)
            picture = np.asarray(read_picture(found or run.out / path))
            soft = blur_edges(picture[None], low=blur.t1, high=blur.t2)[0]
            store.write(target, key, encoded(Image.fromarray(soft), "PNG"))
        paths.append(target)
        if run.progress:
            run.progress(done, len(chosen), "blurring edges")
    return paths
