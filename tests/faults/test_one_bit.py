"""One flipped bit in every file that has a checksum: refused, made anew, or where nobody reads.

``KAOGAN_FLIPS`` is the number of bits of each file, which are others with each ``KAOGAN_FAULTS_SEED``: half of them
anywhere, half in the first 4 KB, where headers are.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kaogan.core.errors import KaoganError
from kaogan.data import load_pictures
from kaogan.data.shards.index import INDEX, MANIFEST
from kaogan.data.shards.writer import write_shards
from kaogan.prepare.manifest import Manifest
from kaogan.share.export import onnx_file, web
from tests.data.shards.conftest import samples
from tests.faults import table
from tests.faults.cases import Case, check_words, refusal, same
from tests.faults.test_damaged_files import WEIGHTS
from tests.faults.test_damaged_networks import CASES

FLIPS = int(os.environ.get("KAOGAN_FLIPS", "25"))
HEADER = 4096  # bytes
# 1e-8 and 1E-8 are the same number in JSON, "\u00e9" and "\u00E9" the same letter; tars and zips have unused fields.
SAME = {"config.json", "index.json of the cache", "cache of statistics", "cache of checksums", "shards: a tar"}


def _journal(folder: Path) -> Case:
    path = folder / "journal.sqlite"
    manifest = Manifest(path)
    manifest.set_tags([(f"{number:032x}", number, '{"hair": ["pink", 0.9]}') for number in range(40)])
    manifest.close()
    beside = path.with_name("journal.sqlite.sha256")
    written = beside.read_text()

    def read() -> Any:
        beside.write_text(written)
        manifest = Manifest(path)
        try:
            return list(manifest.rows("SELECT * FROM tags"))
        finally:
            manifest.close()

    return Case(path, read)


def _onnx(folder: Path) -> Case:
    onnx = onnx_file.require_package("onnx")
    weight = onnx.numpy_helper.from_array(np.arange(600, dtype=np.float32), "weight")
    node = onnx.helper.make_node("Add", ["latents", "weight"], ["images"])
    ends = [onnx.helper.make_tensor_value_info(name, 1, [600]) for name in ("latents", "images")]
    proto = onnx.helper.make_model(onnx.helper.make_graph([node], "tiny", ends[:1], ends[1:], [weight]))
    path = folder / "model.onnx"
    path.write_bytes(onnx_file.add_metadata(proto, {"kaogan": '{"format": 1}', "kaogan.attributes": "[]"}))

    def read() -> Any:
        if not onnx_file.check_onnx(path.read_bytes(), path.name):
            raise KaoganError("a file without a checksum, of another program")
        return True

    return Case(path, read)


def _shards(folder: Path, name: str) -> Case:
    (folder / "set").mkdir()
    write_shards(folder / "set", samples(), ["hair", "hair_conf", "eyes"], 5)

    def read() -> Any:
        found = load_pictures(folder / "set", image_size=8, cache=folder / "cache")
        return np.asarray(found.images[:]), found.labels, found.schema.to_json(), list(found.names)

    return Case(folder / "set" / name, read)


FILES: dict[str, Callable[[Path], Case]] = {
    **WEIGHTS,
    **CASES,
    "prepare's journal": _journal,
    "ONNX": _onnx,
    "shards: shards.json": lambda folder: _shards(folder, MANIFEST),
    "shards: index.npz": lambda folder: _shards(folder, INDEX),
    "shards: a tar": lambda folder: _shards(folder, "shard-000000.tar"),
}


def _bits(name: str, size: int) -> list[int]:
    draw = random.Random(f"{os.environ.get('KAOGAN_FAULTS_SEED', '0')}/{name}")
    header = draw.sample(range(8 * min(size, HEADER)), min(FLIPS // 2, 8 * min(size, HEADER)))
    return header + [draw.randrange(8 * size) for _ in range(FLIPS - len(header))]


def _flipped(whole: bytes, bit: int) -> bytes:
    data = bytearray(whole)
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_noticed(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    case = FILES[name](tmp_path)
    before, whole = case.read(), case.file.read_bytes()
    for bit in _bits(name, len(whole)):
        with table.row(f"one bit, {name}") as row:
            case.file.parent.mkdir(exist_ok=True)
            case.file.write_bytes(_flipped(whole, bit))
            words, found = refusal(case)
            if words is not None:
                check_words(words)
                row.refused += 1
                continue
            assert same(before, found), f"bit {bit}: other results without a word"
            assert name in SAME or case.file.read_bytes() == whole, f"bit {bit} was not noticed"
            row.held += 1


def test_one_flipped_bit_in_what_a_page_knows_of_its_model(tmp_path: Path) -> None:
    """The page's own JavaScript looks at it, here in Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    files = {name: (web.PAGE / name).read_bytes() for name in ("index.html", "manifest.webmanifest", "sw.js")}
    about = {"title": "Faces", "summary": "顔", "sha256": {"model.onnx": hashlib.sha256(b"").hexdigest()}}
    web._finish(files, about)
    whole = files[web.ABOUT]
    shutil.copytree(web.PAGE, tmp_path / "page")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    bits = _bits("page", len(whole))
    parts = [_flipped(whole, bit).hex() for bit in bits]
    (tmp_path / "texts.json").write_text(json.dumps([whole.hex(), *parts]))
    (tmp_path / "check.mjs").write_text(
        """import { readFileSync } from "node:fs";
        Object.assign(globalThis, { window: globalThis, location: { href: "http://localhost/" } });
        globalThis.document = { querySelectorAll: () => [] };
        const { readModel } = await import("./page/files.js");
        const found = [];
        for (const hex of JSON.parse(readFileSync("texts.json", "utf8"))) {
          globalThis.fetch = async () => new Response(Buffer.from(hex, "hex"));
          found.push(await readModel().then(() => "read", (error) => error.message));
        }
        console.log(JSON.stringify(found));"""
    )
    said = subprocess.run([node, "check.mjs"], cwd=tmp_path, capture_output=True, check=True, timeout=100).stdout
    first, *others = json.loads(said)
    assert first == "read"
    for bit, words in zip(bits, others, strict=True):
        with table.row("one bit, page: model.json") as row:
            assert words.startswith("model.json is damaged"), bit
            row.refused += 1
