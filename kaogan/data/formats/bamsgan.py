"""BaMSGAN format: ``data_original/class``, beside it ``data_blur/class`` and ``data_his/class``, which hold no data.

The blurred set is what its blur.py makes, the history what its training fills.
"""

from __future__ import annotations

from kaogan.data.formats.base import FORMATS, Format
from kaogan.data.labels import LabelTable
from kaogan.data.layout import Layout, entry_names, without_common_folder
from kaogan.data.sources import Source

ORIGINAL = "data_original"
OTHERS = {"data_blur": "blurred pictures", "data_his": "pictures of the memory"}


class Bamsgan(Format):
    name = "bamsgan"
    title = "BaMSGAN: data_original/class with its data_blur/class and data_his/class"
    needs = f"folder {ORIGINAL}"

    def layout(self, source: Source) -> Layout | None:
        return self.pictures(source)  # there are no labels

    def pictures(self, source: Source) -> Layout | None:
        names = entry_names(source)
        parts = [name.split("/")[:-1] for name in names]
        indices = [index for index, folders in enumerate(parts) if ORIGINAL in folders]
        if not indices:
            return None
        notes = [f"{source.path} read as a set of BaMSGAN: the pictures of {ORIGINAL}"]
        for folder, what in OTHERS.items():
            if count := sum(folder in folders for folders in parts):
                notes.append(f"{count:,} {what} in {folder} left out: they are no data")
        kept = without_common_folder([names[index] for index in indices])
        return Layout(LabelTable({}, str(source.path), notes), indices, kept)


FORMATS.register(Bamsgan.name, Bamsgan())
