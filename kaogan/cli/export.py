"""``kaogan export``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar
from kaogan.core.errors import UsageError, nearest

EPILOG = "Example:  kaogan export runs/acgan --to web --out page   then:  python -m http.server -d page"


def export(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="A run's or a model's folder; for onnx also kao-sr or another upscaler."),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="KIND",
            help="web: a page that draws in the browser. onnx: for other runtimes. safetensors: one file for kaogan. "
            "hub: a folder for the Hugging Face Hub. state-dict: weights for another program.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(metavar="PATH", help="The file or folder to write. (MODEL...)")] = None,
    half: Annotated[
        bool, typer.Option("--half", help="web, onnx, safetensors, hub: weights of 16 bits, half as large.")
    ] = False,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="web: the page's title.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="K", help="web: the seed of the first face. (0)")] = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="web: one HTML file, which opens by a double click.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="web: the face follows the pointer; takes half a minute longer.")
    ] = False,
    upscale: Annotated[
        bool | None,
        typer.Option("--upscale/--no-upscale", help="web: enlarging with kao-sr. (if the page stays below 30 MB)"),
    ] = None,
    upscaler: Annotated[
        list[Path] | None,
        typer.Option(metavar="ONNX", help="web: a network of your own for it; more than once for more factors."),
    ] = None,
    scale: Annotated[
        int | None, typer.Option(metavar="X", help="onnx of an upscaler (kao-sr): 2, 4 or 8 times as large. (4)")
    ] = None,
    size: Annotated[
        int | None, typer.Option(metavar="S", help="onnx of an upscaler: the side of what it takes, px. (64)")
    ] = None,
    license: Annotated[
        str | None, typer.Option(metavar="ID", help="hub: the licence, as the Hub spells it: cc-by-4.0.")
    ] = None,
    push: Annotated[
        str | None, typer.Option(metavar="USER/NAME", help="hub: upload the folder, too; needs a network and a login.")
    ] = None,
    as_: Annotated[
        str | None,
        typer.Option("--as", metavar="PROGRAM", help="state-dict: bamsgan, acgan, ganime or starsface."),
    ] = None,
    wrapped: Annotated[
        bool, typer.Option("--wrapped", help="state-dict: inside of a dict, as in the program's checkpoints.")
    ] = False,
) -> None:
    """Write a model for other programs, for the Hub or for the web."""
    if to not in TARGETS:
        raise UsageError(f"unknown kind '{to}'{nearest(to, TARGETS)}")
    target = TARGETS[to]
    words = {
        "half": half, "single_file": single_file, "follow": follow, "title": title, "seed": seed,
        "upscale": upscale, "upscaler": upscaler,
        "scale": scale, "size": size, "license": license, "push": push, "as": as_, "wrapped": wrapped,
    }  # fmt: skip
    defaults = {"half": False, "wrapped": False, "single_file": False, "follow": False}
    given = {key: value for key, value in words.items() if value not in (None, []) and value is not defaults.get(key)}
    for key in given:
        if key not in target.options:
            kinds = ", ".join(name for name, other in TARGETS.items() if key in other.options)
            raise UsageError(f"--{key.replace('_', '-')} is for {kinds}, not for {to}")
    place = (out or Path(f"{_stem(model)}{'.html' if single_file else target.ending}")).expanduser()
    # Weights under a name that nobody has chosen may be those that the model was imported from.
    weights = out is None and to in ("safetensors", "state-dict")
    if place.is_file() and (weights or place.resolve() == model.resolve()):
        raise UsageError(f"{place} exists; name another place with --out")
    target.write(model, place, **given)


def _stem(model: Path) -> str:
    """RUN of RUN/model, which is what people call it."""
    name = model.resolve()
    if name.name == "model" and name.parent.name:
        return name.parent.name
    return name.stem if name.is_file() else name.name


def _state_dict(model: Path, out: Path, **given: Any) -> None:
    from kaogan.share.import_weights import export_weights

    if "as" not in given:
        raise UsageError("--to state-dict needs the program: --as bamsgan, acgan, ganime or starsface")
    result = export_weights(model, given["as"], out, wrapped=given.get("wrapped", False))
    _say(result.path, *result.notes)


def _onnx(model: Path, out: Path, **given: Any) -> None:
    from kaogan.api import load
    from kaogan.aux_models.upscaler import Upscaler
    from kaogan.share.export import export_onnx, export_upscaler

    network = load(model, "cpu")
    enlarges = isinstance(network, Upscaler)
    for key in ("scale", "size"):
        if key in given and not enlarges:
            raise UsageError(f"--{key} is for upscalers, and {model} is a model of faces")
    with console.status("tracing, and comparing with PyTorch"):
        path = (export_upscaler if enlarges else export_onnx)(network, out, **given)
    _say(path, f"{_size(path)}, agrees with PyTorch")


def _safetensors(model: Path, out: Path, **given: Any) -> None:
    from kaogan.share.export import export_safetensors

    path = export_safetensors(model, out, **given)
    _say(path, f"{_size(path)}; kaogan takes it wherever it takes a model folder")


def _hub(model: Path, out: Path, *, push: str | None = None, **given: Any) -> None:
    from kaogan.share.export import export_hub
    from kaogan.share.export import push as upload

    path = export_hub(model, out, repository=push, **given)
    _say(path, "say what may be done with it in README.md" if "license" not in given else "a folder for the Hub")
    if push:
        console.print(escape(upload(path, push)), soft_wrap=True)


def _web(model: Path, out: Path, **given: Any) -> None:
    from kaogan.share.export import export_web

    if given.get("follow"):
        with progress_bar("finding directions") as update:
            path = export_web(model, out, progress=update, **given)
    else:
        with console.status("tracing, comparing with PyTorch, writing the page"):
            path = export_web(model, out, **given)
    serve = f"python -m http.server -d {path}   and open http://localhost:8000"
    _say(path, f"{_size(path)}; see it: {'open it in a browser' if path.is_file() else serve}")


def _say(path: Path, *notes: str) -> None:
    console.print(escape(str(path)), soft_wrap=True)
    for note in notes:
        console.print(f"  {escape(note)}", soft_wrap=True)


def _size(path: Path) -> str:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return f"{sum(each.stat().st_size for each in files) / 1e6:.1f} MB"


@dataclass(frozen=True)
class _Target:
    write: Callable[..., None]
    ending: str
    options: frozenset[str] = field(default_factory=frozenset)


TARGETS = {
    "web": _Target(_web, "-web", frozenset({"half", "single_file", "follow", "title", "seed", "upscale", "upscaler"})),
    "onnx": _Target(_onnx, ".onnx", frozenset({"half", "scale", "size"})),
    "safetensors": _Target(_safetensors, ".safetensors", frozenset({"half"})),
    "hub": _Target(_hub, "-hub", frozenset({"half", "license", "push"})),
    "state-dict": _Target(_state_dict, ".pth", frozenset({"as", "wrapped"})),
}
