"""The result of choosing among all crops: what is kept, what is dropped, and the rows of the tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from kaogan.prepare import duplicates
from kaogan.prepare.crops import Crop
from kaogan.prepare.processed_file import SURPLUS
from kaogan.prepare.tables import Row
from kaogan.prepare.tagging import Doubt

COPIES = {duplicates.EXACT: "exact copy", duplicates.NEAR: "near copy", duplicates.MIRRORED: "mirrored copy"}
STEPS = ("skipped", "unread", "broken", "tiny", "no face", SURPLUS, "monochrome", "blurred", *COPIES.values())


@dataclass(frozen=True)
class Dropped:
    """One line of dropped.csv and one tile of the report."""

    source: str
    name: str
    step: str
    reason: str
    preview: bytes | Crop | None = None  # a JPEG, or the picture that turned out to be a copy
    kept: str = ""  # the key of what is kept in place of a copy


@dataclass
class PreparedSet:
    """The dataset before it is written: everything that the tables and the report show."""

    crops: list[Crop]  # of the set, in the order of their names
    names: list[str]  # of their files, without folder
    parts: list[str]  # "" without a split
    rows: list[Row]
    columns: list[str]
    dropped: list[Dropped]
    doubts: list[tuple[str, Doubt]]  # with the name of the file
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def path(self, at: int) -> str:
        return f"{self.parts[at]}/images/{self.names[at]}" if self.parts[at] else f"images/{self.names[at]}"
