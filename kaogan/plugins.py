"""Plug-ins: objectives, networks, extras, metrics and dataset formats from outside of kaogan.

A plug-in is a Python file (``--plugin FILE.py``, ``kaogan.load_plugins``) or an installed package with an entry point
in the group ``kaogan.plugins``; importing it registers its parts with the functions here. docs/how-to/plugins.md has an
example of each kind. A plug-in is a program and runs with the user's rights: kaogan loads one only when it is told to,
when it is installed, or when the user goes on with a run that recorded it and the file is still the same.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from kaogan.config.registries import registry
from kaogan.core.errors import UsageError
from kaogan.core.loaded_plugins import LOADED, LoadedPlugin, recorded
from kaogan.core.registry import Registry
from kaogan.core.text import one_line

GROUP = "kaogan.plugins"
KINDS = ("objective", "generator", "discriminator", "feature network", "extra", "metric", "format")

AnyClass = TypeVar("AnyClass", bound=type)
_installed_loaded = False


# Registration, called by plug-ins


def register_objective(name: str, objective: Any) -> Any:
    """Make ``objective`` (``kaogan.losses.Objective``) the choice ``objective.name: name``, and return it.

    Raises UsageError when the name is taken or no plain word; so do all functions here.
    """
    from kaogan.losses import Objective

    _check(isinstance(objective, Objective), objective, "objective", "an Objective of kaogan.losses")
    return registry("objective").register(name, objective, home=_module_of(objective.real))


def register_network(name: str, *, tiny: Mapping[str, Any] | None = None) -> Callable[[Any], Any]:
    """A class decorator: a ``Generator`` or a ``Discriminator`` (kaogan.networks.base) becomes the family ``name``.

    Its class attribute ``Settings`` is a ``NetworkSettings`` whose ``family`` is ``name`` by default; ``tiny`` holds
    settings that make it small, for tests.
    """

    def add(network: Any) -> Any:
        from kaogan.networks import register_discriminator, register_generator
        from kaogan.networks.base import Discriminator, Generator

        if issubclass(network, Generator):
            return register_generator(name, tiny=tiny)(network)
        if issubclass(network, Discriminator):
            return register_discriminator(name, tiny=tiny)(network)
        raise UsageError(f"{network.__name__} is neither a Generator nor a Discriminator of kaogan.networks.base")

    return add


def register_extra(name: str) -> Callable[[AnyClass], AnyClass]:
    """A class decorator: an ``Extra`` (kaogan.losses.extras) gets the section ``extras.NAME`` of every recipe."""

    def add(extra: AnyClass) -> AnyClass:
        from kaogan.losses.extras import Extra

        _check(isinstance(extra, type) and issubclass(extra, Extra), extra, "extra", "an Extra of kaogan.losses.extras")
        try:
            extra.default()  # type: ignore[attr-defined]
        except ValidationError as error:
            raise UsageError(
                f"{extra.__name__} cannot be registered as '{name}': every field of its Settings needs a default, with "
                f"which the extra is off ({error.errors()[0]['loc'][0]} has none)"
            ) from None
        registry("extra").register(name, extra)
        return extra

    return add


def register_metric(metric: Any) -> Any:
    """Add a ``Metric`` (kaogan.metrics.registry) under its own name to ``evaluate`` and ``eval.metrics``."""
    from kaogan.metrics.registry import Metric

    _check(isinstance(metric, Metric), metric, "metric", "a Metric of kaogan.metrics.registry")
    return registry("metric").register(metric.name, metric, home=_module_of(metric.compute))


def register_format(form: Any) -> Any:
    """A class decorator: a ``Format`` (kaogan.data.formats.base) can be read, and written if it has ``write``."""
    from kaogan.data.formats.base import Format

    fits = isinstance(form, type) and issubclass(form, Format) and isinstance(getattr(form, "name", None), str)
    _check(fits, form, "format", "a Format of kaogan.data.formats.base with a name")
    registry("format").register(form.name, form(), home=form.__module__)
    return form


def _check(fits: bool, part: Any, kind: str, what: str) -> None:
    if not fits:
        raise UsageError(
            f"{getattr(part, '__name__', repr(part))[:60]} cannot be registered as {kind}: it is not {what}"
        )


# Loading


def load_plugins(files: Iterable[str | os.PathLike[str]]) -> list[LoadedPlugin]:
    """Run plug-in files, each once as long as it does not change. Raises UsageError (file, line, what is wrong)."""
    return [_load_file(Path(file)) for file in files]


def load_installed_plugins() -> None:
    """Import what installed packages name as entry points of the group ``kaogan.plugins``, once.

    One that cannot be imported is named in a warning and left out: it must not keep kaogan from starting.
    """
    global _installed_loaded
    if _installed_loaded:
        return
    _installed_loaded = True
    for entry in importlib.metadata.entry_points(group=GROUP):
        package, version = (entry.dist.name, entry.dist.version) if entry.dist else (entry.module, "")
        try:
            entry.load()
        except Exception as error:  # whatever somebody else's module does
            logging.getLogger("kaogan").warning(
                "the plug-in %s of the package %s is left out: %s", entry.name, package, one_line(_cause(error))
            )
            continue
        LOADED[entry.name] = LoadedPlugin(entry.name, version, package, _parts_of(entry.module))


def load_plugins_of_run(folder: str | os.PathLike[str]) -> None:
    """The plug-in files that a run recorded, unless they are loaded. Nothing for a folder that is no run.

    Raises UsageError for a file that is gone or has changed since: then the user has to name it.
    """
    try:
        record = json.loads((Path(folder) / "data.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for plugin in recorded(record.get("plugins") if isinstance(record, dict) else None):
        if plugin.package or plugin.name in LOADED:
            continue
        path = Path(plugin.name)
        if not path.is_file() or _digest(path) != plugin.version:
            state = "has changed since" if path.is_file() else "is not there any more"
            raise UsageError(
                f"the run {folder} was trained with the plug-in {path}, which {state}; name it with --plugin FILE.py, "
                "or kaogan.load_plugins([...])"
            )
        _load_file(path)


def _load_file(path: Path) -> LoadedPlugin:
    path = path.expanduser().resolve()
    if not path.is_file() or path.suffix != ".py":
        what = f"{path} is a folder, not a plug-in" if path.is_dir() else f"no plug-in file {path}"
        raise UsageError(f"{what}; name a Python file (.py)")
    name, digest = str(path), _digest(path)
    if name in LOADED and LOADED[name].version == digest:
        return LOADED[name]
    # The same module name again for the same path: a changed file may replace its own parts.
    module_name = f"kaogan_plugin_{path.stem}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    specification = importlib.util.spec_from_file_location(module_name, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[module_name] = module  # pydantic and dataclasses look a class's module up
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise UsageError(f"the plug-in {where}: {_cause(error)}") from None
    LOADED[name] = LoadedPlugin(name, digest, parts=_parts_of(module_name))
    return LOADED[name]


def _parts_of(module: str) -> tuple[str, ...]:
    """What has been registered by a module or those inside of it."""
    return tuple(
        f"{kind} {name}"
        for kind, known in registries().items()
        for name in known.names()
        if known.home(name) == module or known.home(name).startswith(f"{module}.")
    )


def registries() -> dict[str, Registry[Any]]:
    """The registries that a plug-in may add to, by the kind of their parts."""
    return {kind: registry(kind) for kind in KINDS}


def _module_of(part: Any) -> str:
    return str(getattr(part, "__module__", None) or type(part).__module__)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _cause(error: BaseException) -> str:
    return (
        f"{type(error).__name__}: {' '.join(str(error).split())}" if not isinstance(error, UsageError) else str(error)
    )
