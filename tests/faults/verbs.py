"""The commands that write, each small: its words, what it needs in its folder, and what it leaves there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from kaogan.core import checkpoint
from kaogan.core.errors import KaoganError
from tests.cli.conftest import TINY

TRAIN = " ".join(
    ["train dcgan", *TINY, "--data faces --run.checkpoint_every 16 --run.grid_every 24",
     "--extras.instance_noise.amount 0.1 --out run"]
)  # fmt: skip
# Times and durations are in them, or they stand for themselves in another file.
VOLATILE = ("log.txt", "events.out*", "*.html", "*.md", "stats.jsonl", "metrics.jsonl", "config.json", "recipe.yaml",
            "data.json", "*.lock", "cache/*", "*/.prepare/*", "loss.png", "progress.gif",
            "report.*", "tmp/*")  # fmt: skip


FOREIGN = ("torchinductor", "matplotlib", ".ses")  # temporary files of libraries


@dataclass(frozen=True)
class Verb:
    """``needs``: names from the kit; ``whole``: its output is there as a whole or not at all, at any moment."""

    name: str
    words: str
    needs: tuple[str, ...] = ()
    whole: bool = True
    slow: bool = False  # not in the short runs


VERBS = {
    verb.name: verb
    for verb in (
        Verb("train", f"{TRAIN} --images 48", ("faces",), whole=False),
        Verb("train (resumed)", f"{TRAIN} --images 64", ("faces", "run"), whole=False),
        Verb(
            "adapt",
            "adapt run --data faces --images 16 --out adapted --seed 1 --training.batch_size 8 --eval.features tagger",
            ("run", "faces"),
            whole=False,
            slow=True,
        ),
        Verb("prepare", "prepare photos set --crop none --size 16 --workers 1", ("photos",), whole=False),
        Verb("convert --to webdataset", "convert faces out --to webdataset", ("faces",)),
        Verb("convert --to stylegan", "convert faces out.zip --to stylegan", ("faces",)),
        Verb("avatars", "avatars out --count 6 --size 16"),
        Verb("sample", "sample run --out faces.png --count 4", ("run",)),
        Verb("sample --separate", "sample run --out out --count 4 --separate", ("run",), whole=False),
        Verb("explore walk", "explore walk run --out walk.gif --faces 2 --steps 2", ("run",)),
        Verb("explore interpolate", "explore interpolate run --out between.png", ("run",)),
        Verb("explore mix", "explore mix run --out mix.png --rows 2 --columns 2", ("run",)),
        Verb("explore directions", "explore directions run --out d.safetensors --count 2", ("run",)),
        Verb("live", "live kao --seed 7 --out live.gif --steps 15 --seconds 1 --fps 4 --size 64", slow=True),
        Verb("evaluate", "evaluate run --data faces --count 24 --features tagger --metrics fid", ("run", "faces")),
        Verb("fit-filter", "fit-filter run --data many --samples 100 --force", ("run", "many"), whole=False, slow=True),
        Verb("export --to safetensors", "export run --to safetensors --out m.safetensors", ("run",)),
        Verb("export --to hub", "export run --to hub --out hub", ("run",)),
        Verb("export --to onnx", "export run --to onnx --out m.onnx", ("run",), slow=True),
        Verb("import", "import foreign.pth --as bamsgan --out model", ("foreign.pth",)),
        Verb("upscale", "upscale photos --out large --scale 2", ("photos",), whole=False, slow=True),
        Verb("faces find", "faces find photos --out found", ("photos",), whole=False, slow=True),
        Verb("tagger tag", "tagger tag faces --out tags.csv", ("faces",)),
    )
}


def contents(folder: Path, apart: Mapping[str, str] | None = None) -> dict[str, str]:
    """Digests of what a command has written: the newest checkpoint by its tensors, everything else by its bytes.

    ``apart`` are the inputs, which are left out.
    """
    found = {}
    newest = {path.parent: path for path in sorted(folder.rglob("checkpoint-*.safetensors"))}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or any(fnmatch(name, p) or fnmatch(path.name, p) for p in VOLATILE):
            continue
        if path.parent in newest:
            if path == newest[path.parent]:
                try:
                    tensors, state = checkpoint.load(path)
                except KaoganError as error:
                    found[name] = str(error)
                    continue
                parts = [state["clock"], *((key, tensors[key].numpy().tobytes()) for key in sorted(tensors))]
                found[name] = hashlib.sha256(repr(parts).encode()).hexdigest()
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {name: digest for name, digest in found.items() if name not in (apart or {})}


def leftovers(folder: Path) -> list[str]:
    """Files that no command should leave: half-written ones, and temporary ones."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if ".partial" in path.name or (path.parent == folder / "tmp" and not path.name.startswith(FOREIGN))
    ]


def size(folder: Path) -> int:
    """Bytes on a disk in memory, in pages of 4 KB."""
    return sum(-(-os.lstat(path).st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())
