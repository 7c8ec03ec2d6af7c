"""Reading of label files: CSV of any usual encoding, separator and header, and JSON lines, as a ``LabelTable``."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kaogan.core.errors import KaoganError
from kaogan.core.text import one_line, shown
from kaogan.data.labels import LabelTable, count_of

FILE = "file"
# Headers of the column that names the picture, in the order in which they are taken.
_FILE_HEADERS = (FILE, "file_name", "filename", "filepath", "file_path", "image", "image_name", "image_path", "path")
_EXCEL = re.compile(r"\"?sep=.\"?\r?\n", re.IGNORECASE)  # a first line that tells Excel the separator
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
# Of text that is not UTF-8, in the order in which a tie is decided.
_ENCODINGS = {"cp932": "Shift-JIS", "gb18030": "GBK", "big5": "Big5", "cp949": "Korean", "cp1252": "Windows-1252"}
# What a wrong encoding makes of words: half-width katakana, private use, controls; and, where there are many of them,
# signs, accented letters in a row, and letters of East Asia inside of a Latin word.
_NEVER = re.compile("[\x80-\x9f\uff61-\uff9f\ue000-\uf8ff]")
_SELDOM = re.compile(
    "[\xa0-\xbf\xd7\xf7\u0192\u2010-\u2122]|[\xc0-\xff](?=[\xc0-\xff])"
    "|(?<=[a-z])[\u2e80-\uffff]|[\u2e80-\uffff](?=[a-z])",
    re.IGNORECASE,
)
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}

Row = tuple[str, list[str]]  # name of the picture, cells


class PictureNames:
    """The names of a set's pictures, to be found by what a label file calls them.

    ``folder`` is where the file lies ("" or "set/"); names in it are relative to that folder or to ``images/`` in it.
    """

    def __init__(self, names: Sequence[str], others: Sequence[str] = (), folder: str = "") -> None:
        self.folder = folder
        self._exact = {name: position for position, name in enumerate(names)}
        self._plain = {_plain(name): position for position, name in enumerate(names)}
        self._others = {_plain(name) for name in others}

    def __len__(self) -> int:
        return len(self._exact)

    def __iter__(self) -> Iterator[str]:
        return iter(self._exact)

    def find(self, name: str) -> int | None:
        """The position of a picture, None where there is none of that name."""
        candidates = (f"{self.folder}images/{name}", self.folder + name)
        for candidate in candidates:
            if candidate in self._exact:
                return self._exact[candidate]
        return next((self._plain[each] for each in map(_plain, candidates) if each in self._plain), None)

    def is_other(self, name: str) -> bool:
        """Whether it is a file that exists but is not used: a row about one is no mistake."""
        return any(_plain(each) in self._others for each in (f"{self.folder}images/{name}", self.folder + name))


def read_csv(data: bytes, where: str, names: PictureNames, count: int) -> LabelTable:
    """The rows of a CSV brought into the order of the ``count`` pictures. Raises KaoganError with the line number."""
    readings = []
    for text, encoding in _texts(data, where):
        header, rows, separator = _parse(text, where)
        for name in _headers(header):
            at = header.index(name)
            found = sum(names.find(row[at].strip()) is not None for row in rows)
            readings.append((found, not _is_strange(text), header, rows, separator, encoding, at))
    found, _, header, rows, separator, encoding, at = max(readings, key=lambda reading: reading[:2])
    if not found and encoding in _ENCODINGS.values():
        raise _not_text(data, where)
    notes = []
    if separator != "," or encoding:
        how = [f"separated by {_SEPARATORS[separator]}"] if separator != "," else []
        guessed = "; where words look wrong, save it as UTF-8" if encoding in _ENCODINGS.values() else ""
        notes.append(f"{where} read as {' '.join([encoding or 'text', *how])}{guessed}")
    cells = ((row[at].strip(), row[:at] + row[at + 1 :]) for row in rows)
    return _aligned(cells, header[:at] + header[at + 1 :], where, names, count, notes)


def read_json_lines(data: bytes, where: str, names: PictureNames, count: int) -> LabelTable:
    """Like ``read_csv`` for one JSON object a line, as Hugging Face's metadata.jsonl holds them."""
    objects: list[Mapping[str, object]] = []
    columns: dict[str, None] = {}
    left: dict[str, None] = {}
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line, object_pairs_hook=unique)
        except TwiceError as twice:
            raise KaoganError(f"{where}, line {number}: {twice}") from None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("file_name"), str):
            raise KaoganError(f"{where}, line {number}: not a JSON object with a 'file_name'")
        objects.append(found)
        for key, value in found.items():
            if key != "file_name":
                (left if isinstance(value, list | dict) else columns).setdefault(key)
    if not objects:
        raise KaoganError(f"{where} has no rows; it needs one JSON object with a 'file_name' a picture")
    listed = [name for name in columns if name not in left]
    notes = [f"columns {', '.join(map(shown, left))} of {where} ignored: lists, not labels"] if left else []
    rows = ((str(each["file_name"]), [cell_of(each.get(name)) for name in listed]) for each in objects)
    return _aligned(rows, listed, where, names, count, notes)


class TwiceError(ValueError):
    pass


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs of a JSON object as a dict. Raises TwiceError where json.loads would keep the last of two values."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise TwiceError(f"two values of '{shown(name)}'; keep one")
    return found


def cell_of(value: object) -> str:
    """A value of JSON as a table's cell."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _aligned(
    rows: Iterator[Row], columns: Sequence[str], where: str, names: PictureNames, count: int, notes: list[str]
) -> LabelTable:
    table: dict[str, list[str]] = {name: [""] * count for name in columns}
    seen: set[int] = set()
    twice, missing, first = 0, list[str](), None
    for name, cells in rows:
        first = name if first is None else first
        position = names.find(name)
        if position is None:
            if not names.is_other(name):
                missing.append(name)
            continue
        twice += position in seen
        seen.add(position)
        for column, cell in zip(columns, cells, strict=True):
            table[column][position] = cell
    if not seen:
        picture = next(iter(names), "")
        raise KaoganError(
            f"{where}: no row names a picture of this set (the first row says '{shown(first or '')}', the "
            f"first picture is '{shown(picture)}')"
        )
    if missing:
        notes.append(f"{count_of(len(missing), 'row')} of {where} name no picture here, as '{shown(missing[0])}'")
    if twice:
        notes.append(f"{count_of(twice, 'row')} of {where} repeat a file: the last one counts")
    if lacking := len(names) - len(seen):
        notes.append(f"{count_of(lacking, 'picture')} without a row in {where}: labels unknown")
    return LabelTable(table, where, notes)


def _texts(data: bytes, where: str) -> Iterator[tuple[str, str]]:
    """(text, name of its encoding, "" for UTF-8): one, or those that the bytes may be."""
    encoding = next((name for mark, name in _BOMS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data[:4]:  # UTF-16 without a mark
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    try:
        yield data.decode(encoding).lstrip("\ufeff"), "UTF-16" if "16" in encoding else ""
        return
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise KaoganError(f"{where}: not whole {encoding.upper()} text; save it as UTF-8") from error
    some = False
    for name, title in _ENCODINGS.items():
        try:
            yield data.decode(name), title
            some = True
        except UnicodeDecodeError:
            continue
    if not some:
        raise _not_text(data, where)


def _is_strange(text: str) -> bool:
    """Whether it is of another encoding, by its letters beyond ASCII."""
    letters = sum(not letter.isascii() for letter in text)
    return 10 * len(_NEVER.findall(text)) > letters or 3 * len(_SELDOM.findall(text)) > letters


def _not_text(data: bytes, where: str) -> KaoganError:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return KaoganError(f"{where}, line {line}: not UTF-8 text; save it as UTF-8")
    return KaoganError(f"{where}: not text")


def _headers(header: Sequence[str]) -> list[str]:
    """Those of ``header`` that may name the picture, the best first."""
    lower = [cell.casefold().replace(" ", "_") for cell in header]
    return [header[lower.index(name)] for name in _FILE_HEADERS if name in lower]


def _separator(text: str, where: str) -> str:
    """The one that makes a column of file names out of the first line; the CSV sniffer's where several do."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    found = [each for each in _SEPARATORS if _headers([cell.strip().strip('"') for cell in line.split(each)])]
    if not found:
        names = one_line(", ".join(shown(cell.strip()) for cell in line.split(",")), 200)
        raise (
            KaoganError(
                f"{where}, line 1: no column named 'file' (found: {names}); columns are separated by "
                "commas, semicolons or tabs"
            )
            if line
            else KaoganError(f"{where} has no rows; it needs a line 'file,...' and one line a picture")
        )
    if len(found) > 1:  # the file column stands alone or first and last: ask the rows
        try:
            return csv.Sniffer().sniff(text[:65_536], "".join(found)).delimiter
        except csv.Error:
            return found[0]
    return found[0]


def _parse(text: str, where: str) -> tuple[list[str], list[list[str]], str]:
    if named := _EXCEL.match(text):
        text = text[named.end() :]
    separator = _separator(text, where)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    header: list[str] | None = None
    rows: list[list[str]] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _checked_header(cells, where)
                continue
            if len(cells) > len(header):
                raise KaoganError(
                    f"{where}, line {reader.line_num}: {len(cells)} cells under {len(header)} columns; "
                    "put quotes around a cell that holds a comma"
                )
            cells += [""] * (len(header) - len(cells))
            rows.append(cells)
    except csv.Error as error:
        raise KaoganError(f"{where}, line {reader.line_num}: not a table of comma-separated cells ({error})") from error
    if header is None or not rows:
        raise KaoganError(f"{where} has no rows; it needs a line 'file,...' and one line a picture")
    return header, rows, separator


def _checked_header(cells: list[str], where: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    alike = Counter(unicodedata.normalize("NFKC", name).casefold() for name in header if name)
    for name in header:
        if alike[unicodedata.normalize("NFKC", name).casefold()] > 1:
            raise KaoganError(f"{where}, line 1: two columns are named '{shown(name)}'; rename one")
    # Blank headers stay apart, so that each row keeps its cells.
    return [name or " " * (at + 1) for at, name in enumerate(header)]


def _plain(name: str) -> str:
    """One spelling for names that look the same: composed accents, forward slashes, no leading ./"""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./").replace("/./", "/")
