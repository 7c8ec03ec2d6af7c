"""A generator as a web page that draws in the visitor's own browser: a folder of static files, or one file."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kaogan.aux_models.upscaler import load_upscaler
from kaogan.core.atomic_io import atomic
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.picture_files import png
from kaogan.core.progress import Progress, no_progress
from kaogan.core.staging import staged
from kaogan.generate.explore.pointer_directions import pointer_directions
from kaogan.generate.model import Model, load
from kaogan.generate.model_card import is_keyword
from kaogan.generate.model_io import MODELS
from kaogan.networks import count_parameters
from kaogan.share.export.onnx_file import check_onnx, onnx_bytes, require_package
from kaogan.share.export.runtime_files import FILES, PACKED, RUNTIME, SOURCE
from kaogan.share.export.single_file import single_file as one_file
from kaogan.share.export.upscaler import upscaler_bytes

PAGE = Path(__file__).resolve().parent / "page"
MODEL, FIRST, ABOUT = "model.onnx", "first.png", "model.json"
EMPTY = '""}'  # the end of model.json before its checksum is put in
PLACES = 64  # of the picture that the page compares with Python's
LARGEST_SEED = 2**53 - 1  # the integers of JavaScript
SCALES = range(2, 9)
OWN_SCALES, LARGEST_SIDE = (4, 8), 1024  # of kao-sr, and of what it makes: more takes a browser too long
WELCOME = 30_000_000  # bytes of a page that a visitor may wait for
# Fetched when they are needed; all the rest is kept for visits without a network before the first face is drawn.
LATE = (".onnx", ".wasm" + PACKED)


def export_web(
    model: str | os.PathLike[str] | Model,
    place: str | os.PathLike[str],
    upscaler: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    *,
    upscale: bool | None = None,
    title: str | None = None,
    seed: int = 0,
    half: bool = False,
    single_file: bool = False,
    follow: bool = False,
    progress: Progress = no_progress,
) -> Path:
    """Write the page to the folder ``place``; any static server can serve it, from any path.

    With ``single_file`` ``place`` is one HTML file, of at most 45 MB, that a browser opens from a disk, too.
    With ``upscale`` the page can enlarge its faces 4 and 8 times, up to 1024 px, with kao-sr; by default if it stays
    below 30 MB with that. ``upscaler`` is an ONNX file of one's own, or several of different factors, from images
    (N, C, S, S) in [-1, 1] to (N, C, kS, kS), k from 2 to 8; kao-sr is left out then where it is not asked for.
    ``seed`` is that of the face that the page opens with, 0 to 2^53 - 1. ``half`` halves the size of the weights.
    ``follow`` puts two directions into the page (``pointer_directions``, about half a minute), so that its face can
    follow the pointer. ``progress`` hears of each part before it begins. Raises UsageError for a folder that exists,
    and for ``follow`` with a model whose pictures show no faces; KaoganError as ``export_onnx`` does.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"the seed of a page must be from 0 to 2^53 - 1, not {seed}")
    place = Path(place)
    if single_file and (place.suffix.lower() not in (".html", ".htm") or place.is_dir()):
        raise UsageError(f"a page of a single file is written to a file whose name ends in .html, not to {place}")
    model = model if isinstance(model, Model) else load(model, "cpu")
    enlargers = _given_upscalers(model, upscaler)
    if upscale and not _own_scales(model):
        raise UsageError(
            f"kao-sr enlarges faces of 8 to {LARGEST_SIDE // OWN_SCALES[0]} px in a page, these are larger"
        )
    kinds = [kind for kind in FILES if kind == "wasm" or not single_file]
    # A place that cannot be written is reported before the long part.
    with atomic(place) if single_file else staged(place) as stage:
        progress(0, 0, "tracing the network")
        files = _files(model, kinds, half)
        about, files[FIRST] = _about(model, seed, kinds)
        if follow:
            about["follow"] = pointer_directions(model, progress=progress).double().numpy().round(5).tolist()
        about["title"] = title or f"Faces of {_name(model)}"
        if upscale or (upscale is None and not enlargers):
            own = _own_upscalers(model, progress, enlargers)
            if upscale or sum(map(len, [*files.values(), *own.values()])) < WELCOME:
                enlargers |= own
        progress(0, 0, "writing the page")
        about["upscalers"] = [{"scale": scale, "file": _file(scale)} for scale in sorted(enlargers)]
        files |= {_file(scale): content for scale, content in enlargers.items()}
        about["bytes"] = {name: len(content) for name, content in files.items() if name.endswith(LATE)}
        about["sha256"] = {
            name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name.endswith(".onnx")
        }
        _finish(files, about)
        if single_file:
            stage.write_bytes(one_file(files))
            return place
        for name, content in files.items():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).write_bytes(content)
    return place


def _given_upscalers(
    model: Model, given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None
) -> dict[int, bytes]:
    """Scale -> ONNX of the user's own upscalers. Raises UsageError for two of one factor."""
    enlargers: dict[int, bytes] = {}
    for path in map(Path, [given] if isinstance(given, str | os.PathLike) else given or ()):
        content, scale = _upscaler(path, model)
        if scale in enlargers:
            raise UsageError(f"{path}: two upscalers enlarge {scale} times; give one of each factor")
        enlargers[scale] = content
    return enlargers


def _files(model: Model, kinds: Sequence[str], half: bool) -> dict[str, bytes]:
    """The generator, the page's own files, and those of the runtime for the backends ``kinds``."""
    page = {path.relative_to(PAGE).as_posix(): path.read_bytes() for path in sorted(PAGE.rglob("*")) if path.is_file()}
    others = {name for kind, names in FILES.items() if kind not in kinds for name in names}
    runtime = {
        f"runtime/{path.name}": path.read_bytes()
        for path in sorted(RUNTIME.iterdir())
        if path.is_file() and path.name.removesuffix(PACKED) not in others
    }
    return {MODEL: onnx_bytes(model, half)[0], **page, **runtime}


def _name(model: Model) -> str:
    return str(model.config.get("recipe") or "kaogan")


def _about(model: Model, seed: int, kinds: Sequence[str]) -> tuple[dict[str, Any], bytes]:
    """What the page has to know of the model, and the picture it opens with."""
    values: dict[str, Any] = {a.name: a.values[int(np.argmax(a.priors))] for a in model.attributes.attributes}
    latents, conditions = model.latents(1, seed), model.conditions(1, seed, attributes=values)
    picture = model.generate(latents, conditions)[0]
    side = model.image_size
    rgba = np.full((side, side, 4), 255, np.uint8)
    rgba[..., :3] = picture
    numbers = rgba.reshape(-1)
    spread = np.arange(PLACES) * (side * side) // PLACES
    places = (4 * (spread * 37 % (side * side)) + spread % 3).tolist()
    config, path = model.config, model.path
    kept = {"keep": model.keep} if model.latent_filter else {}
    about = {
        "format": 1,
        "name": _name(model),
        "path": path.name if path and path.parent == MODELS else "path/to/the/model",
        "kaogan": config.get("kaogan", ""),
        "summary": config.get("summary", ""),
        "parameters": count_parameters(model.generator),
        "image_size": side,
        "channels": model.channels,
        "latent": {"size": model.latent_size, "distribution": config["latent"]["distribution"]},
        "styled": model.has_style_space,
        "attributes": model.attributes.to_json(),
        "keywords": all(map(is_keyword, model.attributes.names)),
        "file": MODEL,
        "runtime": {
            kind: {
                part: f"runtime/{name}{PACKED if name.endswith('.wasm') else ''}"
                for part, name in zip(("script", "module", "binary"), names, strict=True)
            }
            for kind, names in FILES.items()
            if kind in kinds
        },
        "engine": json.loads((RUNTIME / SOURCE).read_text(encoding="utf-8"))["version"],
        "start": {"seed": seed, "number": 0, "truncation": 1, **kept, "values": values},
        **_filter(model),
        "probe": {
            "latents": latents[0].tolist(),
            "codes": conditions[0].tolist() if model.attributes else None,
            "places": places,
            "pixels": [int(numbers[place]) for place in places],
        },
    }
    return about, png(picture)


def _filter(model: Model) -> dict[str, Any]:
    """The latent filter for the page's own draws, its numbers as float32 in base64; nothing without one."""
    if model.latent_filter is None:
        return {}

    def packed(numbers: torch.Tensor) -> str:
        return base64.b64encode(numbers.numpy().astype("<f4").tobytes()).decode()

    layers = [{"weight": packed(weight), "bias": packed(bias)} for weight, bias in model.latent_filter.layers]
    keep = model.keep if model.keep < 1 else model.latent_filter.usual_keep
    return {"filter": {"keep": keep, "quantiles": model.latent_filter.quantiles.tolist(), "layers": layers}}


def _finish(files: dict[str, bytes], about: Mapping[str, Any]) -> None:
    """Put the words of this export into the page, and its version, a hash of it all, to where caches are named."""
    title, summary = str(about["title"]), f"Draw anime faces in your own browser. {about['summary']}"
    words = {"{{title}}": title, "{{summary}}": summary.strip()}
    html = files["index.html"].decode()
    for key, value in words.items():
        html = html.replace(key, escape(value))
    files["index.html"] = html.encode()
    manifest = json.loads(files["manifest.webmanifest"])
    files["manifest.webmanifest"] = json.dumps(manifest | {"name": title}, ensure_ascii=False).encode()
    files[ABOUT] = json.dumps(about, ensure_ascii=False).encode()
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    version = digest.hexdigest()[:16]
    files[ABOUT] = _sealed({**about, "version": version})
    early = [name for name in sorted(files) if not name.endswith(LATE) and name != "sw.js"]
    release = f"const RELEASE = {json.dumps({'version': version, 'files': early})};"
    files["sw.js"] = files["sw.js"].decode().replace('const RELEASE = { version: "", files: [] };', release).encode()


def _sealed(about: Mapping[str, Any]) -> bytes:
    """JSON with a checksum of the text without it, which the page looks at."""
    text = json.dumps({**about, "checksum": ""}, ensure_ascii=False)
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return f'{text.removesuffix(EMPTY)}"{checksum}"}}'.encode()


def _file(scale: int) -> str:
    return f"upscaler-{scale}.onnx"


def _own_scales(model: Model) -> list[int]:
    return [scale for scale in OWN_SCALES if 8 <= model.image_size <= LARGEST_SIDE // scale]


def _own_upscalers(model: Model, progress: Progress, given: Mapping[int, bytes]) -> dict[int, bytes]:
    """kao-sr for the model's pictures, a file for each factor but those that are ``given``."""
    upscaler = load_upscaler("kao-sr", "cpu", "fp32")
    made = {}
    for scale in _own_scales(model):
        if scale in given:
            continue
        progress(0, 0, f"tracing the upscaler, ×{scale}")
        made[scale] = upscaler_bytes(upscaler, scale, model.image_size, channels=model.channels)[0]
    return made


def _upscaler(path: Path, model: Model) -> tuple[bytes, int]:
    """The content of an upscaler's file and its factor. Raises KaoganError unless it enlarges the model's pictures."""
    runtime = require_package("onnxruntime")
    try:
        content = path.read_bytes()
        check_onnx(content, str(path))
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        images = torch.zeros(1, model.channels, model.image_size, model.image_size).numpy()
        (found, *_) = session.run(None, {session.get_inputs()[0].name: images})
    except OSError as error:
        raise KaoganError(f"{path}: {error.strerror or error}") from error
    except KaoganError:
        raise
    except Exception as error:  # onnxruntime has a class of its own for every kind of failure
        words = " ".join(str(error).split())[:160]
        raise KaoganError(f"{path} is no upscaler for {images_of(model)} in ONNX ({words})") from error
    scale = found.shape[-1] // model.image_size if found.ndim == 4 else 0
    wanted = (1, model.channels, scale * model.image_size, scale * model.image_size)
    if scale not in SCALES or found.shape != wanted:
        raise KaoganError(
            f"{path} turns {images_of(model)} into {tuple(found.shape)}: an upscaler enlarges them 2 to 8 times"
        )
    return content, scale


def images_of(model: Model) -> str:
    return f"images (N, {model.channels}, {model.image_size}, {model.image_size})"
