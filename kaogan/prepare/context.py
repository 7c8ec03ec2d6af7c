"""The context of one run of ``prepare``: inputs, settings, stores, and what the run has found out so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kaogan.core.progress import Progress
from kaogan.core.text import shown
from kaogan.prepare.crops import Crop, read_crops
from kaogan.prepare.image_store import ImageStore
from kaogan.prepare.inputs import InputFiles
from kaogan.prepare.labels import SourceLabels
from kaogan.prepare.manifest import Manifest
from kaogan.prepare.processed_file import Rejection
from kaogan.prepare.settings import PrepareSettings


@dataclass
class RunContext:
    files: InputFiles
    labels: SourceLabels
    out: Path
    settings: PrepareSettings
    manifest: Manifest
    store: ImageStore
    digest: str  # changes with anything that the result depends on
    progress: Progress | None
    positions: dict[int, int] = field(default_factory=dict)  # of the manifest's rows of files
    unread: list[tuple[int, Rejection]] = field(default_factory=list)  # files that could not be read this time
    worked_on: int = 0  # files that were new or changed

    def crops(self) -> list[Crop]:
        """Every accepted crop, in the order of the files."""
        return read_crops(self.manifest, self.positions)

    def origin(self, position: int) -> tuple[str, str]:
        """(source, name) of a file, to be shown."""
        source, index = self.files.place(position)
        return self.files.given[source], shown(self.files.sources[source].listing.entries[index].name)
