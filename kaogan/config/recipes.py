"""Reading recipes: by name or file, with overrides, with errors that name the key and the nearest valid one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from kaogan.config.recipe import Described, Recipe, recipe_type
from kaogan.config.registries import UNKNOWN_FAMILY, Families
from kaogan.config.renamed import rename_overrides, rename_settings
from kaogan.core.errors import KaoganError, UsageError, nearest

YAML_LIMIT = 256 * 1024  # bytes
FOLDER = resources.files("kaogan.config") / "recipe_files"
Kind = TypeVar("Kind", bound=Described)

DEFAULT = "kao"
"""What is trained when no recipe is named."""

# The words of the command line that stand for a leaf of the tree.
SHORTHANDS = {
    "images": "training.images",
    "batch_size": "training.batch_size",
    "seed": "run.seed",
    "device": "run.device",
    "precision": "run.precision",
    "eval_every": "eval.every",
    "start_from": "training.start_from",
}


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, so that a small file cannot unfold into a huge tree, and without a key that is there twice,
    of which YAML's readers keep the last."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    raise yaml.YAMLError(f"line {key.start_mark.line + 1}: '{key.value}' stands there twice; keep one")
                keys.add(key.value)
        return node


def names(folder: Traversable = FOLDER) -> list[str]:
    """The names of the published recipes."""
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def text(name: str, folder: Traversable = FOLDER) -> str:
    """The YAML text of a published recipe, comments included. Raises UsageError for an unknown name."""
    known = names(folder)
    if name not in known:
        raise UsageError(f"unknown recipe '{name}'{nearest(name, known)}; 'kaogan recipes list' describes them")
    return folder.joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def parse_yaml(content: str, where: str) -> Any:
    try:
        return yaml.load(content, _PlainLoader)  # derived from SafeLoader
    except Exception as error:  # numbers, dates and tags that cannot be built raise anything: ValueError, KeyError ...
        problem = " ".join(str(error).split())
        raise UsageError(f"{where} is not valid YAML: {problem}") from None


def load(recipe: str | os.PathLike[str] | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A published recipe by name, one's own by path (``*.yaml``) or a mapping, with ``overrides`` of dotted keys.

    Raises UsageError for an unknown name, key, type or value, naming it and the nearest valid one.
    """
    if isinstance(recipe, Mapping):
        tree, where = dict(recipe), "recipe"
    elif isinstance(recipe, os.PathLike) or str(recipe).endswith((".yaml", ".yml")):
        tree, where = _read(Path(recipe)), str(recipe)
        if isinstance(tree, dict):
            plain = re.sub(r"[^a-z0-9._-]+", "-", Path(recipe).stem.lower()).strip("._-")[:64]
            tree.setdefault("name", plain or "custom")
    else:
        tree, where = parse_yaml(text(str(recipe)), str(recipe)), str(recipe)
    if not isinstance(tree, dict):
        raise UsageError(f"{where} must be a mapping of settings, like 'kaogan recipes show dcgan' prints")
    return resolve(tree, overrides or {}, where)


def resolve(tree: Mapping[str, Any], overrides: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """``tree`` with each dotted key of ``overrides`` set, validated.

    Naming another ``generator.family`` or ``discriminator.family`` starts that network from its family's defaults.
    """
    return resolve_as(recipe_type(), tree, overrides, where)


def resolve_as(kind: type[Kind], tree: Mapping[str, Any], overrides: Mapping[str, Any], where: str) -> Kind:
    """The same for a recipe of any kind."""
    merged = rename_settings(tree, where)
    own = kind.model_fields
    flat = flatten({key if key in own else SHORTHANDS.get(key, key): value for key, value in overrides.items()})
    flat = rename_overrides(flat, merged, where)
    for key in sorted(flat, key=lambda k: not k.endswith(".family")):
        _set(merged, key.split("."), flat[key])
    try:
        return kind.model_validate(merged)
    except ValidationError as error:
        raise UsageError(_explain(error, where, kind, merged)) from None


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings -> dotted keys. ``attributes.merge`` is a leaf: its keys are the user's, not settings."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and path != "attributes.merge":
            flat |= flatten(value, f"{path}.")
        else:
            flat[path] = value
    return flat


def diff(first: Described, second: Described, ignore: Iterable[str] = ()) -> list[tuple[str, Any, Any]]:
    """The leaves that differ: (dotted key, value in first, value in second); missing ones are None."""
    a, b = flatten(first.to_dict()), flatten(second.to_dict())
    ignored = tuple(ignore)
    return [
        (key, a.get(key), b.get(key))
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key) and not any(key == i or key.startswith(f"{i}.") for i in ignored)
    ]


def dump(recipe: Described) -> str:
    """The resolved recipe as YAML."""
    return yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True, width=100)


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > YAML_LIMIT:
            raise UsageError(f"{path} is larger than {YAML_LIMIT // 1024} KB: not a recipe")
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"no recipe file {path}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a text file in UTF-8") from None
    except OSError as error:
        raise KaoganError(f"cannot read {path}: {error.strerror}") from None
    return parse_yaml(content, str(path))


def _set(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    *parents, leaf = keys
    for depth, key in enumerate(parents):
        child = tree.setdefault(key, {})
        if not isinstance(child, dict):
            raise UsageError(f"'{'.'.join(parents[: depth + 1])}' is a single value and has no '{leaf}'")
        tree = child
    if leaf == "family" and tree.get("family") not in (None, value):
        tree.clear()
    tree[leaf] = value


def _explain(error: ValidationError, where: str, kind: type[Described], tree: Mapping[str, Any]) -> str:
    lines = []
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        families = _families(kind, location[0]) if location else {}
        if families and len(location) > 1 and location[1] in families:
            location.pop(1)  # a union's location names the chosen family, which is no part of the key
        key = ".".join(location)
        if problem["type"] == "extra_forbidden":
            model = families.get(tree[location[0]].get("family")) if families else _model_at(kind, location[:-1])
            lines.append(f"unknown key '{key}'{_hint(kind, location, list(model.model_fields) if model else [])}")
        elif problem["type"] in ("model_type", "model_attributes_type"):
            lines.append(f"'{key}' is a group of settings, not a value; set its keys, as in --{key}.KEY VALUE")
        elif problem["type"] == "missing":
            lines.append(f"'{key}' is missing")
        elif problem["type"] == UNKNOWN_FAMILY or problem["type"].startswith("union_tag"):
            given = problem.get("ctx", {}).get("tag", "nothing")
            lines.append(f"'{key}.family' is '{given}'{nearest(given, list(families))}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = problem["input"]
            shown = f", not {given!r}" if not isinstance(given, Mapping | BaseModel) else ""
            about = f"'{key}': " if key else ""  # a check of the whole recipe names its keys itself
            lines.append(f"{about}{message[0].lower()}{message[1:]}{shown}")
    return f"{where}: " + "; ".join(lines)


def _hint(kind: type[Described], location: list[str], known: list[str]) -> str:
    """Which families of networks have the key, or the key of this name in another section, or the nearest in this."""
    if families := _families(kind, location[0]):
        having = [name for name, family in families.items() if location[-1] in family.model_fields]
        if having:
            return f" (a setting of {' and '.join(having)} only)"
    same = [key for key in _keys(kind) if key.split(".")[-1] == location[-1]]
    same = [key for key in same if key.count(".") == min(k.count(".") for k in same)]
    if 0 < len(same) <= 2:
        return " (did you mean '" + "' or '".join(same) + "'?)"
    return nearest(location[-1], [*known, *SHORTHANDS] if len(location) == 1 else known)


def _keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """The dotted keys of all leaves, of networks those of every family."""
    found: dict[str, None] = {}
    for name, field in model.model_fields.items():
        families = _families(model, name)
        sections: list[Any] = list(families.values())
        if not sections and _is_section(field.annotation):
            sections = [field.annotation]
        found |= dict.fromkeys(key for part in sections for key in _keys(part, f"{prefix}{name}."))
        if not sections:
            found[f"{prefix}{name}"] = None
    return list(found)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _families(model: type[BaseModel], section: str) -> dict[str, type[BaseModel]]:
    """The settings that a section can have, by the family of networks that it names; none for an ordinary section."""
    field = model.model_fields.get(section)
    if field is None:
        return {}
    for mark in field.metadata:
        if isinstance(mark, Families):
            return {name: mark.settings(name) for name in mark.names()}
    members = [part for part in get_args(field.annotation) if _is_section(part) and "family" in part.model_fields]
    return {str(member.model_fields["family"].default): member for member in members}


def _model_at(kind: type[Described], location: list[str]) -> type[BaseModel] | None:
    model: Any = kind
    for part in location:
        if not _is_section(model) or part not in model.model_fields:
            return None
        model = model.model_fields[part].annotation
    return model if _is_section(model) else None
