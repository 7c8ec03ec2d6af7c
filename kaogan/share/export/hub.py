"""A folder as the Hugging Face Hub wants it, and the way there, which is only taken when asked for."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.staging import staged
from kaogan.core.weights_file import DIGEST
from kaogan.evaluation.page import measured_of
from kaogan.generate.model import Model, load
from kaogan.generate.model_card import card
from kaogan.generate.model_io import CARD, CONFIG, read_config, sign_config, stored_weights

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def export_hub(
    model: str | os.PathLike[str] | Model,
    folder: str | os.PathLike[str],
    *,
    half: bool = False,
    license: str | None = None,
    repository: str | None = None,
) -> Path:
    """Write ``folder``: a card with the front matter of the Hub, configuration, weights and preview.

    ``license`` is an identifier of the Hub, such as ``cc-by-4.0``; ``repository``, USER/NAME, stands in the card's
    instructions. A folder that is this export for this repository already stays as it is, so that a failed ``push`` can
    be repeated. Raises UsageError for another folder that exists and for words that are neither, KaoganError for what
    cannot be written.
    """
    if repository is not None:
        check_repository(repository)
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license):
        raise UsageError(f"'{license}' is no licence of the Hub; it is written as in cc-by-4.0 or mit")
    path, model = (None, model) if isinstance(model, Model) else (Path(model), load(model, "cpu"))
    measured = {} if path is None else measured_of(path, model.config.get("clock"))
    folder = Path(folder)
    if repository is not None and _holds(folder, model, half, license, repository):
        return folder
    with staged(folder) as stage:
        model.save(
            stage,
            card(model.config, license=license, repository=repository, latent_filter=model.latent_filter, **measured),
            half=half,
        )
    return folder


def _holds(folder: Path, model: Model, half: bool, license: str | None, repository: str) -> bool:
    """Whether the folder has this model and a card, which may be edited, that names the repository and the licence."""
    try:
        _, signature = read_config(folder / CONFIG)
        text = (folder / CARD).read_text(encoding="utf-8")
    except (KaoganError, OSError, UnicodeDecodeError):
        return False
    named = f'("{repository}")' in text and (license is None or f"license: {license}\n" in text)
    return named and signature.written == sign_config(model.config, stored_weights(model.generator, half))[DIGEST]


def push(folder: str | os.PathLike[str], repository: str) -> str:
    """Upload ``folder`` to the model ``repository``, USER/NAME, made if it is new; the address of its page.

    Raises KaoganError, one line, without huggingface_hub, a network or the right to write there.
    """
    check_repository(repository)
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise KaoganError("--push needs the package 'huggingface_hub': pip install 'kaogan[export]'") from error
    api = HfApi()
    try:
        address = api.create_repo(repository, exist_ok=True)
        api.upload_folder(folder_path=Path(folder), repo_id=repository, commit_message="Upload by kaogan")
    except Exception as error:  # of many kinds: the hub's own, those of its HTTP library, the system's
        words = " ".join(str(error).split())[:200] or type(error).__name__
        if "401" in words or "403" in words or "token" in words.lower():
            hint = "log in with: hf auth login"
        else:
            hint = "is there a network?"
        raise KaoganError(f"could not push to {repository} ({words}); {hint}; the folder {folder} is ready") from error
    return str(address)


def check_repository(repository: str) -> None:
    """Raises UsageError unless it is spelt USER/NAME."""
    if not REPOSITORY.fullmatch(repository):
        raise UsageError(f"'{repository}' is no repository of the Hub; it is spelt USER/NAME")
