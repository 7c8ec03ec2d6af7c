"""Nested folder format: pictures in folders of any depth and nothing else, as StarsFace reads them."""

from __future__ import annotations

from kaogan.data.formats.base import FORMATS, Format
from kaogan.data.labels import LabelTable
from kaogan.data.layout import Layout, entry_names, whole, without_common_folder
from kaogan.data.sources import Source


class Nested(Format):
    name = "nested"
    title = "pictures in folders of any depth, without labels: StarsFace (DATASET.NAME)"
    needs = "pictures"

    def layout(self, source: Source) -> Layout | None:
        if not source.listing.entries:
            return None
        return whole(source, LabelTable({}, str(source.path)), without_common_folder(entry_names(source)))


FORMATS.register(Nested.name, Nested())
