"""The words that travel with a model: its configuration and its card."""

from __future__ import annotations

import html
import json
import keyword
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.loaded_plugins import plugin_records
from kaogan.core.model_cards import front_matter
from kaogan.core.schema import Schema
from kaogan.core.text import one_line
from kaogan.generate.latent_filter import LatentFilter
from kaogan.networks import DISCRIMINATORS
from kaogan.version import __version__

FORMAT = 1
PARAMETERS = frozenset({"self", "count", "seed", "truncation", "keep", "attributes", "progress"})  # of Model.sample
OPTIONS = frozenset(
    {"out", "count", "seed", "rows", "separate", "truncation", "keep", "format", "mode", "upscale", "device",
     "processes", "list-attributes", "attribute", "help"}
)  # fmt: skip
"""Of ``kaogan sample``."""


def make_config(
    recipe: Recipe,
    attributes: Schema,
    *,
    clock: int,
    data: Mapping[str, Any] | None = None,
    minutes: float = 0.0,
    machine: str = "",
    base: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The configuration of a model trained by ``recipe``, ready for JSON.

    ``trained_against`` names the feature extractors that the discriminator looked through, ``plugins`` what has
    been loaded. ``clock`` is in images shown, ``data`` holds ``name``, ``count`` and ``fingerprint``, ``minutes`` the
    training time, ``base`` the ``name``, ``recipe``, ``clock`` and ``sha256`` of the model that it started from.
    """
    return {
        "format": FORMAT,
        "kaogan": __version__,
        "recipe": recipe.name,
        "summary": recipe.summary,
        "source": recipe.source,
        "generator": recipe.generator.model_dump(mode="json"),
        "trained_against": list(DISCRIMINATORS[recipe.discriminator.family].trained_against(recipe.discriminator)),
        "latent": recipe.latent.model_dump(mode="json"),
        "image_size": recipe.image_size,
        "channels": recipe.channels,
        "attributes": attributes.to_json(),
        "settings": settings_of(recipe),
        **({"licence": recipe.run.licence} if recipe.run.licence != "other" else {}),
        "clock": clock,
        "data": dict(data or {}),
        "minutes": round(minutes, 2),
        "machine": machine,
        # A model is shared: the folder of a plug-in's file is nobody's business.
        "plugins": [each | ({} if each["package"] else {"name": Path(each["name"]).name}) for each in plugin_records()],
        **({"start_from": dict(base)} if base else {}),
    }


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """What made the weights, by dotted keys: all but where and how a run was watched, which may name local paths."""
    left_out = ("name", "summary", "source", "training.start_from", "run", "eval", "generator")
    return {
        key: value
        for key, value in recipes.flatten(recipe.to_dict()).items()
        if key == "run.seed" or not key.startswith(left_out)
    }


def card(
    config: Mapping[str, Any],
    *,
    license: str | None = None,
    repository: str | None = None,
    measured: str = "",
    results: Mapping[str, float] | None = None,
    latent_filter: LatentFilter | None = None,
    measured_on: str = "",
    rights: str = "",
) -> str:
    """The model card as Markdown, with the front matter that the Hugging Face hub reads.

    ``license`` is one of its identifiers (without it: the one that the training was given), ``repository`` the
    USER/NAME there that the model can be had from, ``measured`` a section about its quality, in Markdown, and
    ``results`` the same numbers by name, for programs, ``measured_on`` the name of the real pictures (without it: those
    of the training), ``rights`` a sentence about the licence in place of the usual one. ``latent_filter`` is the one
    that lies beside the weights.
    """
    attributes = Schema.from_json(config.get("attributes", ()))
    recipe = _line(config.get("recipe", "custom"))
    size = config["image_size"]
    licence = license or str(config.get("licence") or "")
    parts = [
        front_matter(
            licence,
            "unconditional-image-generation",
            ["gan", "anime", "faces", *(["conditional"] if attributes else [])],
            name=recipe,
            data=measured_on or str((config.get("data") or {}).get("name", "")),
            results=results,
        ),
        f"# {recipe}, {size} × {size} px",
        f"A generator of {'grey ' if config['channels'] == 1 else ''}{size} × {size} px pictures, "
        f"{'imported into' if config.get('imported') else 'trained with'} kaogan {_line(config.get('kaogan', ''))}. "
        f"{_line(config.get('summary', ''))}",
        "![pictures drawn from the model](preview.png)",
        _facts(config, recipe, latent_filter),
        _usage(attributes, repository),
    ]
    if attributes:
        parts.append(_table(attributes))
    if measured:
        parts.append(measured)
    usual = _UNLICENSED if licence in ("", "other") else _LICENSED.format(licence=_line(licence))
    parts.append(_LIMITS + (rights or usual))
    return "\n\n".join(part.strip() for part in parts) + "\n"


_LIMITS = """## Limits and licence

The model knows nothing but the pictures it was trained on and repeats their habits, their gaps and their biases. Some
of its pictures are broken; it may come close to single pictures of a small set.

"""
_UNLICENSED = """What may be done with the model and its pictures depends on the licence of the training pictures, which
kaogan cannot know. Whoever publishes this folder states it here and in `license` above."""
_LICENSED = """Licence: {licence}, chosen by who trained or published the model, who knows the licence of the training
pictures."""


def _facts(config: Mapping[str, Any], recipe: str, latent_filter: LatentFilter | None) -> str:
    data = config.get("data") or {}
    latent, base = config["latent"], config.get("start_from") or {}
    rows = {
        "recipe": recipe,
        "source": _line(config.get("source", "")),
        "data": _line(data.get("name", "")),
        "pictures": _pictures(data, config.get("settings") or {}),
        "fingerprint of the data": f"`{_line(data['fingerprint'])}`" if data.get("fingerprint") else "",
        "started from": " ".join(_line(base.get(key, "")) for key in ("name", "sha256")).strip()[:80],
        "images shown": f"{config.get('clock', 0):,}",
        "minutes trained": f"{config.get('minutes', 0):,.1f}",
        "machine": _line(config.get("machine", "")),
        "generator": _line(config["generator"].get("family", "")),
        "latent": f"{latent['size']} numbers, {latent['distribution']}",
        "latent filter": filter_fact(latent_filter) if latent_filter else "",
    }
    lines = [f"| {name} | {value.replace('|', '/')} |" for name, value in rows.items() if value]
    return "\n".join(["## How it was made", "", "| | |", "|---|---|", *lines])


def _pictures(data: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    count, whole = data.get("count"), data.get("selected_from")
    if not isinstance(count, int):
        return ""
    eyes = ", `data.clear_eyes`" if settings.get("data.clear_eyes") is True else ""
    selected = f", the most typical of {whole:,} (`data.instance_selection`{eyes})" if isinstance(whole, int) else ""
    return f"{count:,}{selected}"


def filter_fact(latent_filter: LatentFilter) -> str:
    """What the card says of a latent filter, with its rates."""
    report = latent_filter.report
    what = "what the eye judge says" if latent_filter.by_eyes else "the distance to real pictures"
    return (
        f"pictures are drawn from the best {latent_filter.usual_keep:.0%} of the latents, `--keep 1` draws from all; "
        f"it foretells {what} with r = {report.get('correlation', 0):.2f} and rejects "
        f"{report.get('rejected', 0):.0%} of the worst fifth"
    )


def with_filter(text: str, latent_filter: LatentFilter) -> str:
    """A card with the line of a filter that was fitted later; all else, which may be of its owner's hand, stays."""
    rows = [line for line in text.splitlines() if not line.startswith("| latent filter |")]
    places = [number for number, line in enumerate(rows) if line.startswith("| latent |")]
    if places:
        rows.insert(places[0] + 1, f"| latent filter | {filter_fact(latent_filter)} |")
    return "\n".join(rows) + "\n"


def _usage(attributes: Schema, repository: str | None) -> str:
    values = {a.name: a.values[0] for a in attributes.attributes}
    options = "".join(f" {_option(name, value)}" for name, value in values.items())
    if all(is_keyword(name) for name in values):
        keywords = "".join(f", {name}={json.dumps(value)}" for name, value in values.items())
    else:
        keywords = f", attributes={json.dumps(values)}"
    get = "from huggingface_hub import snapshot_download\n\n" if repository else "\n"
    place = f'snapshot_download("{repository}")' if repository else '"path/to/this/folder"'
    return f"""## How to sample

```
kaogan sample path/to/this/folder --count 64 --seed 0{options}
```

```python
import kaogan
{get}model = kaogan.load({place})
pictures = model.sample(64, seed=0{keywords})  # uint8 (64, height, width, channels)
```

The same seed gives the same pictures, however many are asked for. A `truncation` below 1 trades variety for
regularity."""


def _table(attributes: Schema) -> str:
    rows = []
    for attribute in attributes.attributes:
        values = ", ".join(
            f"{_line(value)} {prior:.1%}" for value, prior in zip(attribute.values, attribute.priors, strict=True)
        )
        rows.append(f"| {_line(attribute.name)} | {values.replace('|', '/')} |")
    lines = ["## Attributes", "", "| attribute | values, and how often the data has them |", "|---|---|", *rows]
    return "\n".join(lines)


def youth(config: Mapping[str, Any]) -> str:
    """A sentence for a model that has seen less than a fifth of the images that its recipe takes; else empty."""
    name, seen = str(config.get("recipe", "")), config.get("clock")
    published = recipes.load(name).training.images if name in recipes.names() else 0
    needed = published or (config.get("settings") or {}).get("training.images", 0)
    if config.get("imported") or not isinstance(seen, int) or not isinstance(needed, int) or seen * 5 >= needed:
        return ""
    names = " and ".join(one_line(str(each["name"])) for each in config.get("attributes") or [])
    return (
        f"this model is young: it has seen {seen:,} images, and the recipe {one_line(name)} takes {needed:,}; train it "
        f"further for better faces{f', and for {names} as asked' if names else ''}"
    )


def is_keyword(name: str) -> bool:
    """Whether the attribute can be a keyword of ``Model.sample``; others go into its mapping ``attributes``."""
    return name.isidentifier() and not keyword.iskeyword(name) and name not in PARAMETERS


def _option(name: str, value: str) -> str:
    """An attribute on the command line."""
    if re.fullmatch(r"[a-z][\w-]*", name) and name not in OPTIONS:
        return f"--{name} {shlex.quote(one_line(value))}"
    return f"--attribute {shlex.quote(one_line(f'{name}={value}'))}"


def _line(value: Any) -> str:
    """Free text as one line that can neither break a table nor be HTML."""
    return html.escape(one_line(value), quote=False)
