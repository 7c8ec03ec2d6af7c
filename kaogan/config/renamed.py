"""Settings that were renamed or removed: files and overrides with the old keys are still read, with a notice."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from kaogan.config.registries import registry
from kaogan.core.errors import UsageError
from kaogan.core.text import one_line

KEYS: dict[str, str] = {
    "latent.law": "latent.distribution",
    "optim.schedule.law": "optim.schedule.type",
    "objective.flip": "objective.label_flip",
    "data.flip": "data.horizontal_flip",
    "discriminator.thaw": "discriminator.unfreeze_at",
    "generator.smooth": "generator.output_filter",
    "penalties.own_step": "penalties.separate_step",
    "extras.memory": "extras.replay",
    "extras.pull": "extras.pixel_loss",
    "extras.fade": "extras.blur_fade",
    "extras.noise": "extras.instance_noise",
    "extras.blur": "extras.blurred_reals",
}
"""Old key -> new key; a section takes all of its keys along."""

VALUES: dict[str, dict[Any, Any]] = {
    "generator.family": {"kernel5": "keras_wgan", "shuffle256": "starsface_wgan"},
    "discriminator.family": {"kernel5": "keras_wgan", "shuffle256": "starsface_wgan"},
    "generator.output_filter": {True: "binomial", False: "none"},
}
"""New key -> its old values and what they are called now."""

FAMILIES: dict[str, str] = {
    "discriminator.thaw": "projected",
    "generator.smooth": "dcgan",
    "discriminator.anomaly_map": "projected",
}
"""Old keys of networks that only one family had: in another family, a plug-in's say, the word means something else."""

ADDED: dict[tuple[str, str], tuple[frozenset[str], dict[str, Any]]] = {
    (section, "r3gan"): (
        frozenset({"channel_base", "channel_max", "blocks", "expansion", "group_width", "embedding"}),
        {"resample_filter": [1, 2, 1]},
    )
    for section in ("generator", "discriminator")
}
"""(section, family) -> the keys that every file written by an earlier release has, and settings whose default has
changed since, as they were. A file by hand, which names some of these keys, gets the defaults of today."""

REMOVED = ("discriminator.anomaly_map", "extras.anomalies")
"""Settings that did not pay (docs/results/kao-log.md): files with them are read without, but for a plug-in's own."""

_noticed: set[tuple[str, str]] = set()


def new_key(key: str, families: Mapping[str, str | None]) -> str:
    """The present name of a dotted key; ``families`` has the family of each network, by ``generator`` and so on."""
    for old, new in KEYS.items():
        if (key == old or key.startswith(f"{old}.")) and _applies(old, families):
            return new + key[len(old) :]
    return key


def rename_overrides(overrides: Mapping[str, Any], tree: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Dotted overrides of ``tree`` under their present names and with present values; a notice names what changed.

    Raises UsageError for a setting that is given under both names.
    """
    families = {**_families(tree), **{key.split(".")[0]: v for key, v in overrides.items() if key.endswith(".family")}}
    renamed: dict[str, Any] = {}
    changes: list[str] = []
    for key, value in overrides.items():
        new = new_key(key, families)
        if new != key and new in overrides:
            raise UsageError(f"{where}: '{key}' is called '{new}' now: give it once")
        renamed[new] = _new_value(new, value)
        changes += _changes(key, value, new, renamed[new])
    _notice(changes, where)
    return renamed


def rename_settings(tree: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A copy of nested settings (a recipe, or a model's configuration) under present names and with present values.

    A notice, once for each ``where``, names what changed. Raises UsageError for a setting that has both names.
    """
    copy = copy_tree(tree)
    families = _families(tree)
    changes: list[str] = []
    for old, new in KEYS.items():
        section, leaf = _find(copy, old)
        if section is None or leaf not in section or not _applies(old, families):
            continue
        target = copy
        for part in new.split(".")[:-1]:
            below = target.setdefault(part, {})
            if not isinstance(below, dict):
                raise UsageError(f"{where}: '{part}' is a group of settings, not a value")
            target = below
        last = new.split(".")[-1]
        if last in target:
            raise UsageError(f"{where}: '{old}' is called '{new}' now: give it once")
        value = section.pop(leaf)
        target[last] = _new_value(new, value)
        changes += _changes(old, value, new, target[last])
    for key in VALUES:
        section, leaf = _find(copy, key)
        if section is not None and leaf in section:
            value, section[leaf] = section[leaf], _new_value(key, section[leaf])
            changes += _changes(key, value, key, section[leaf])
    for key in REMOVED:
        section, leaf = _find(copy, key)
        if section is not None and leaf in section and _applies(key, families) and not _of_plugin(key):
            del section[leaf]
            changes.append(f"{key} is no more")
    changes += _added(copy, families)
    _notice(changes, where)
    return copy


def copy_tree(value: Any) -> Any:
    """Nested mappings as dicts of their own; other values are shared."""
    return {key: copy_tree(below) for key, below in value.items()} if isinstance(value, Mapping) else value


def _added(tree: dict[str, Any], families: Mapping[str, str | None]) -> Iterator[str]:
    """Give whole records of earlier releases the values that were the defaults then."""
    for (section, family), (written, values) in ADDED.items():
        if families.get(section) != family or not written <= tree[section].keys():
            continue
        for key, value in values.items():
            if key not in tree[section]:
                tree[section][key] = value
                yield f"{section}.{key} is {value}, as it was"


def _families(tree: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: part.get("family") for name, part in tree.items() if isinstance(part, Mapping)}


def _applies(old: str, families: Mapping[str, str | None]) -> bool:
    return old not in FAMILIES or families.get(old.split(".")[0]) == FAMILIES[old]


def _of_plugin(removed: str) -> bool:
    """Whether a plug-in brings an extra of that name."""
    group, _, name = removed.partition(".")
    return group == "extras" and name in registry("extra")


def _find(tree: dict[str, Any], key: str) -> tuple[dict[str, Any] | None, str]:
    """The section that would hold ``key``, if it is there, and the last part of the key."""
    *parents, leaf = key.split(".")
    section: Any = tree
    for part in parents:
        section = section.get(part) if isinstance(section, dict) else None
    return (section if isinstance(section, dict) else None), leaf


def _new_value(key: str, value: Any) -> Any:
    names = VALUES.get(key)
    return names.get(value, value) if names and isinstance(value, str | bool) else value


def _changes(key: str, value: Any, new_key: str, new_value: Any) -> Iterator[str]:
    if new_value is not value and new_value != value:
        yield f"{key} {_spelt(value)} is {new_key} {_spelt(new_value)}"
    elif key != new_key:
        yield f"{key} is {new_key}"


def _spelt(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _notice(changes: list[str], where: str) -> None:
    """One line through ``logging``, which prints it on stderr unless the caller has set up something else."""
    line = "; ".join(changes)
    if changes and (where, line) not in _noticed:
        _noticed.add((where, line))
        logging.getLogger("kaogan").warning("%s: settings have changed: %s", one_line(where), one_line(line))
