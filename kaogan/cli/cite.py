"""``kaogan cite``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._console import console

EPILOG = "What stands before @ is a comment to BibTeX: the output can be kept as a .bib file."


def cite(
    subject: Annotated[str, typer.Argument(metavar="RUN|MODEL|RECIPE", help="What to cite.")],
) -> None:
    """Print BibTeX of the papers behind a run, a model or a recipe, and its exact settings."""
    from kaogan.config import recipes
    from kaogan.config.citations import bibtex, recipe_of_model
    from kaogan.generate.model_io import CONFIG, find_model, read_config
    from kaogan.version import __version__

    path, facts = Path(subject), {"kaogan": __version__}
    model = None
    if (path / "recipe.yaml").is_file():
        recipe = recipes.load(path / "recipe.yaml")
        model = path / "model" if (path / "model" / CONFIG).is_file() else None
    elif subject in recipes.names() and not path.exists():
        recipe = recipes.load(subject)
    else:
        model = find_model(path)
        config, _ = read_config(model / CONFIG)
        recipe = recipe_of_model(config)
    if model is not None:
        config, _ = read_config(model / CONFIG)
        data = config.get("data") or {}
        known = {"kaogan": config.get("kaogan"), "data": data.get("name"), "pictures": data.get("count"),
                 "fingerprint of the data": data.get("fingerprint"), "images shown": config.get("clock")}  # fmt: skip
        facts |= {name: value for name, value in known.items() if value is not None}
    console.print(bibtex(recipe), markup=False, soft_wrap=True)
    settings = recipes.flatten(recipe.to_dict())
    lines = [f"{name}: {value}" for name, value in facts.items()]
    lines += [f"{key} = {value}" for key, value in settings.items() if not key.startswith(("run.", "eval."))]
    lines.append(f"run.seed = {settings['run.seed']}")
    console.print("\n" + "\n".join(f"% {' '.join(line.split())}" for line in lines), markup=False, soft_wrap=True)
