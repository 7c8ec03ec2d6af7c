"""Trained generators: ``Model`` samples, saves and is loaded from a folder of config.json and model.safetensors."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor, nn

from kaogan.config.registries import GeneratorSettings
from kaogan.core.atomic_io import atomic, explain, write_text
from kaogan.core.device import choose_device, exact
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import Pictures, grid, to_uint8
from kaogan.core.picture_files import PictureArray
from kaogan.core.progress import Progress
from kaogan.core.schema import Schema
from kaogan.core.weights_file import write_weights
from kaogan.generate.attribute_requests import (
    AttributeRequest,
    AttributeRequests,
    check_requests,
    encode_requests,
    merge_requests,
    part_of,
)
from kaogan.generate.latent_filter import (
    FILTER,
    LatentFilter,
    candidates,
    check_keep,
    digest_of,
    discard_other,
    read_filter,
    write_filter,
)
from kaogan.generate.model_card import card, make_config
from kaogan.generate.model_io import (
    CARD,
    CONFIG,
    PREVIEW,
    WEIGHTS,
    find_model,
    parse_config,
    read_config,
    read_model_weights,
    sign_config,
    single_config,
    stored_weights,
)
from kaogan.networks import build_generator
from kaogan.networks.stylegan import is_style_generator

__all__ = ["AttributeRequest", "Model", "card", "load", "make_config"]

PREVIEW_PICTURES = 64


class Model:
    """A generator with all that is needed to draw from it.

    ``generator`` is taken over: float32, in evaluation mode, channels last, on ``device``. ``config`` is as
    ``make_config`` builds it. ``path`` is the folder or file that the model came from, if any. ``latent_filter`` is
    one that was fitted on these weights: with it the model draws from the best of the latents, see ``keep``.
    """

    def __init__(
        self,
        generator: nn.Module,
        attributes: Schema,
        config: dict[str, Any],
        path: Path | None = None,
        device: str | torch.device = "cpu",
        latent_filter: LatentFilter | None = None,
    ):
        self.device = torch.device(device)
        self.generator = generator.to(self.device, torch.float32, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.attributes, self.config, self.path = attributes, config, path
        # The batch size depends on nothing but the model, or the pictures of a seed would not be the same ones in
        # every call: a convolution over 3 pictures and one over 32 may round differently.
        self.batch_size = max(1, min(32, 32 * 128**2 // self.image_size**2))
        self.latent_filter = latent_filter
        self._keep = latent_filter.usual_keep if latent_filter else 1.0
        self._fitted = digest_of(self.generator.state_dict()) if latent_filter else ""

    @property
    def keep(self) -> float:
        """The share of latents, the best ones, that pictures are drawn from: 0.5 with a latent filter that foretells
        eyes, 0.8 with one that foretells distances, else 1, all.

        Setting it raises UsageError for a number out of (0, 1], and below 1 for a model without a filter.
        """
        return self._keep

    @keep.setter
    def keep(self, keep: float) -> None:
        self._keep = self._checked_keep(keep)

    def keeping(self, keep: float) -> Model:
        """The same model, not copied, that draws with another ``keep``. Raises UsageError."""
        other = copy.copy(self)
        other.keep = keep
        return other

    @property
    def has_style_space(self) -> bool:
        """Whether the generator has a mapping network, z -> w (StyleGAN)."""
        return is_style_generator(self.generator)

    @property
    def latent_size(self) -> int:
        return int(self.config["latent"]["size"])

    @property
    def image_size(self) -> int:
        return int(self.config["image_size"])

    @property
    def channels(self) -> int:
        return int(self.config["channels"])

    def sample(
        self,
        count: int = 1,
        *,
        seed: int = 0,
        truncation: float = 1.0,
        keep: float | None = None,
        attributes: AttributeRequests | None = None,
        progress: Progress | None = None,
        **named: AttributeRequest,
    ) -> PictureArray:
        """``count`` pictures, uint8 (count, H, W, C). Picture i depends on the seed and i, not on the count.

        An array of NumPy; as the last line of a notebook's cell it shows the pictures.

        Truncation, >= 0, scales the latents, or draws the w of a StyleGAN to their average. ``keep`` stands for the
        model's own: 1 draws from all latents, as a model without a filter does. Attributes are keywords
        (``hair="pink"``) or, for names that are no keywords or those of parameters, a mapping ``attributes={"seed":
        "blue"}``; their values: see ``conditions``. Raises UsageError.
        """
        batches = self.iter_samples(count, seed=seed, truncation=truncation, keep=keep, attributes=attributes, **named)
        pictures = np.empty((count, self.image_size, self.image_size, self.channels), np.uint8)
        done = 0
        for some in batches:
            pictures[done : done + len(some)] = some
            done += len(some)
            if progress:
                progress(done, count, "sampling")
        return pictures.view(PictureArray)

    def iter_samples(
        self,
        count: int,
        *,
        seed: int = 0,
        truncation: float = 1.0,
        keep: float | None = None,
        attributes: AttributeRequests | None = None,
        **named: AttributeRequest,
    ) -> Iterator[Pictures]:
        """The pictures of ``sample``, lazily, in batches of at most ``batch_size``."""
        requests = merge_requests(attributes, named)
        # Here, not at the first batch: the caller should hear of it at once.
        check_requests(self.attributes, count, requests)
        keep = self.keep if keep is None else self._checked_keep(keep)
        return (self.sample_part(part, count, seed, truncation, requests, keep) for part in self.parts(count))

    def parts(self, count: int) -> list[range]:
        """The numbers of the pictures of each batch."""
        return [range(start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size)]

    def sample_part(
        self, part: range, count: int, seed: int, truncation: float, requests: AttributeRequests,
        keep: float | None = None,
    ) -> Pictures:  # fmt: skip
        """The pictures of these numbers, of ``count``; one of ``parts``."""
        wanted = {name: part_of(value, part.start, len(part)) for name, value in requests.items()}
        conditions = self.conditions(len(part), seed, part.start, wanted) if self.attributes else None
        return self.generate(self.latents(len(part), seed, truncation, part.start, keep), conditions, truncation)

    def latents(
        self, count: int, seed: int = 0, truncation: float = 1.0, start: int = 0, keep: float | None = None
    ) -> Tensor:
        """Latents (count, Z) of the pictures ``start``, start + 1, ...; each a function of the seed and its number.

        Truncation scales them, but not those of a style network, whose length means nothing: there ``generate``
        truncates. With a ``keep`` below 1 (None: the model's) each is drawn again, from a purpose of its own, until
        the latent filter counts it among the best. Raises UsageError unless truncation is a number >= 0.
        """
        check_truncation(truncation)
        keep = self.keep if keep is None else self._checked_keep(keep)
        distribution = self.config["latent"]["distribution"]
        drawn = [
            self.latent_filter.draw(keep, seed, number, distribution)
            if self.latent_filter and keep < 1
            else next(candidates(self.latent_size, distribution, seed, number))
            for number in range(start, start + count)
        ]
        scale = 1.0 if self.has_style_space else truncation
        return torch.cat(drawn) * scale if drawn else torch.empty(0, self.latent_size)

    def conditions(
        self,
        count: int,
        seed: int = 0,
        start: int = 0,
        attributes: AttributeRequests | None = None,
        **named: AttributeRequest,
    ) -> Tensor:
        """One-hot conditions (count, A) of the pictures ``start``, start + 1, ...

        An attribute is a value (``"pink"``), a list of them, one a picture, a mixture ``{"pink": 0.5, "blue": 0.5}``
        taken as it is, or None or unnamed: drawn from the priors, picture by picture. Raises UsageError for an unknown
        attribute or value and for a list of another length than ``count``.
        """
        return encode_requests(self.attributes, count, seed, start, merge_requests(attributes, named))

    def generate(self, latents: Tensor, conditions: Tensor | None = None, truncation: float = 1.0) -> PictureArray:
        """Latents (N, Z) and, for a model with attributes, conditions (N, A) -> uint8 (N, H, W, C).

        ``truncation`` is that of a style network: w_avg + truncation (w - w_avg). For others ``latents`` has done it.
        """
        expected = (len(latents), self.attributes.size)
        if latents.shape[1:] != (self.latent_size,):
            raise ValueError(f"latents of shape (N, {self.latent_size}) are needed, not {tuple(latents.shape)}")
        if self.attributes and (conditions is None or conditions.shape != expected):
            found = None if conditions is None else tuple(conditions.shape)
            raise ValueError(f"conditions of shape {expected} are needed, not {found}")
        rows = (latents, conditions) if self.attributes and conditions is not None else (latents,)

        def network(*rows: Tensor) -> Tensor:
            return self.generator(*rows, truncation=truncation) if self.has_style_space else self.generator(*rows)

        return self.in_batches(network, *rows).view(PictureArray)

    def in_batches(self, network: Callable[..., Tensor], *rows: Tensor) -> Pictures:
        """The images that ``network`` makes of ``rows``, each (N, ...), as uint8 (N, H, W, C); in batches of one
        size, so that no picture depends on the others of the call."""
        pictures = np.empty((len(rows[0]), self.image_size, self.image_size, self.channels), np.uint8)
        for start in range(0, len(pictures), self.batch_size):
            here = min(self.batch_size, len(pictures) - start)
            pictures[start : start + here] = to_uint8(self.run(network, *(row[start : start + here] for row in rows)))
        return pictures

    def run(self, network: Callable[..., Tensor], *rows: Tensor) -> Tensor:
        """``network(*rows)`` without gradients, for at most ``batch_size`` rows (n, ...), padded to a whole batch."""
        with torch.inference_mode(), exact(self.device):
            made = network(*map(self._padded, rows))
        return made[: len(rows[0])].clone()  # no longer a tensor of inference mode, which no gradient could pass

    def save(
        self,
        folder: str | os.PathLike[str],
        card_text: str | None = None,
        preview: Pictures | np.ndarray | None = None,
        *,
        half: bool = False,
    ) -> Path:
        """Write the model to ``folder``; the configuration last, so that a folder which has one is whole.

        ``preview`` is one picture (H, W, C) or several (N, H, W, C); without it some are drawn. ``half`` stores the
        weights as float16, half as large, for sharing; pictures then differ by a few of 255 steps. Raises KaoganError.
        """
        folder = Path(folder)
        self.save_preview(folder, preview)
        write_text(
            folder / CARD, card(self.config, latent_filter=self.latent_filter) if card_text is None else card_text
        )
        weights = stored_weights(self.generator, half)
        self._save_filter(folder / FILTER, weights)
        text = json.dumps(sign_config(self.config, weights), indent=2, ensure_ascii=False) + "\n"
        # One after the other: a process that dies between the two leaves a pair that loading refuses.
        write_weights(folder / WEIGHTS, weights, {"format": "pt"})
        write_text(folder / CONFIG, text)
        return folder

    def save_preview(self, folder: Path, preview: Pictures | np.ndarray | None = None) -> None:
        """The picture on the card; see ``save``. Raises KaoganError."""
        if preview is None:
            preview = self.sample(PREVIEW_PICTURES)
        sheet = grid(preview, 8) if preview.ndim == 4 else preview
        with atomic(folder / PREVIEW) as temporary:
            Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet).save(temporary, "PNG")

    def _save_filter(self, path: Path, weights: Mapping[str, Tensor]) -> None:
        """Before the ``weights`` beside it: a process that dies between the two leaves a pair that loading refuses."""
        if self.latent_filter and digest_of(self.generator.state_dict()) == self._fitted:
            write_filter(path, self.latent_filter, weights)
            return
        try:
            discard_other(path, weights)  # of the weights that are replaced
        except OSError as error:
            raise explain(error, path) from error

    def _checked_keep(self, keep: float) -> float:
        if check_keep(keep) < 1 and not self.latent_filter:
            raise UsageError(
                f"keep {keep} needs a latent filter, which this model has not: fit one with 'kaogan fit-filter'"
            )
        return float(keep)

    def _padded(self, rows: Tensor) -> Tensor:
        """Rows (n, ...) -> (batch_size, ...) on the device, the last row repeated."""
        missing = self.batch_size - len(rows)
        if missing:
            rows = torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])
        return rows.to(self.device, torch.float32)


def check_truncation(truncation: float) -> None:
    """Raises UsageError."""
    if not 0 <= truncation < float("inf"):
        raise UsageError(f"truncation must be a number that is 0 or more, not {truncation}")


def load(path: str | os.PathLike[str], device: str | torch.device = "auto", *, filtered: bool = True) -> Model:
    """The model in a model folder, in the ``model`` folder of a run, or in a single safetensors file.

    Nothing in it is ever unpickled. Raises KaoganError, one line that names the file and the remedy, when it is absent,
    incomplete or damaged. ``filtered=False`` leaves the folder's latent filter unread.
    """
    place = Path(path)
    single = single_config(place)
    if single is None:
        place = find_model(place)
        origin, weights = place / CONFIG, place / WEIGHTS
        config, signature = read_config(origin)
    else:
        origin, weights = place, place
        config, signature = parse_config(single, place)
    schema = Schema.from_json(config["attributes"])
    settings: Any = TypeAdapter(GeneratorSettings).validate_python(config["generator"])
    shape = {
        "latent_size": config["latent"]["size"],
        "attribute_size": schema.size,
        "image_size": config["image_size"],
        "channels": config["channels"],
    }
    try:
        # A network without memory is enough to compare shapes, so a wrong file is refused before anything is allocated.
        with torch.device("meta"):
            expected = build_generator(settings, **shape).state_dict()
        tensors = read_model_weights(weights, expected, signature)
        with torch.random.fork_rng(devices=[]):  # the initial weights are thrown away; the caller's randomness is not
            generator = build_generator(settings, **shape)
    except UsageError as error:
        raise KaoganError(f"{origin}: {error}") from error
    generator.load_state_dict(tensors)
    latent_filter = None
    if filtered and place.is_dir() and (place / FILTER).exists():
        latent_filter = read_filter(place / FILTER, tensors, config["latent"]["size"])
    return Model(generator, schema, config, place, choose_device(str(device)), latent_filter)
