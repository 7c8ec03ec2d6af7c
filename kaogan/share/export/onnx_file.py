"""A generator as an ONNX file that has been held against PyTorch."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kaogan.core.atomic_io import atomic
from kaogan.core.device import exact
from kaogan.core.errors import KaoganError
from kaogan.core.images import grid
from kaogan.core.picture_files import png
from kaogan.core.weights_file import holds_digest
from kaogan.generate.model import Model, load
from kaogan.share.export.exportable import exportable_copy
from kaogan.version import __version__

OPSET = 18
DIGEST = "kaogan.sha256"  # in the metadata
TOLERANCE = 1e-4  # of images in [-1, 1]
HALF_TOLERANCE = 8 / 127.5  # eight of 255 steps
PREVIEW_PICTURES = 16
HALVED_FROM = 256  # numbers; smaller tensors stay as they are
BATCHES = (1, 3)  # sizes that the graph is checked with, neither of them the one that it was traced with


def export_onnx(model: str | os.PathLike[str] | Model, path: str | os.PathLike[str], half: bool = False) -> Path:
    """Write the generator of ``model`` to ``path``: inputs ``latents`` (N, Z), ``codes`` (N, A) if it has attributes,
    ``truncation`` () if it is a style network; output ``images`` (N, C, S, S), about [-1, 1]. All are float32.

    ``half`` stores the weights as float16 and computes in float32. The metadata hold the configuration with the
    attributes and the latents' distribution, and a preview. Raises KaoganError, and writes nothing, when onnxruntime's
    images are not PyTorch's to ``TOLERANCE`` (``HALF_TOLERANCE``), or a package is missing.
    """
    content, _ = onnx_bytes(model if isinstance(model, Model) else load(model, "cpu"), half)
    path = Path(path)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return path


def onnx_bytes(model: Model, half: bool = False) -> tuple[bytes, float]:
    """The content of the file, and the largest difference from PyTorch that the check has found."""
    proto = _trace(model)
    error = _difference(model, proto.SerializeToString())
    if not error < TOLERANCE:
        raise KaoganError(f"the ONNX graph differs from PyTorch by {error:.1e}, more than {TOLERANCE}: nothing written")
    if half:
        halve(proto)
        error = _difference(model, proto.SerializeToString())
        if not error < HALF_TOLERANCE:
            raise KaoganError(f"with half the bits the images differ by {error:.2f} of 2; export without --half")
    return add_metadata(proto, _metadata(model), str(model.config.get("kaogan", ""))), error


def require_package(module: str) -> Any:
    """A module of the extra ``export``. Raises KaoganError that says how to get it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise KaoganError(f"this export needs the package '{module}': pip install 'kaogan[export]'") from error


def _inputs(model: Model, count: int, truncation: float = 0.7) -> dict[str, Tensor]:
    inputs = {"latents": model.latents(count, seed=count)}
    if model.attributes:
        inputs["codes"] = model.conditions(count, seed=count)
    if model.has_style_space:
        inputs["truncation"] = torch.tensor(truncation)
    return inputs


def _trace(model: Model) -> Any:
    """The graph as an onnx.ModelProto."""
    inputs = _inputs(model, 2)
    arguments = (inputs["latents"], inputs.get("codes"), *([inputs["truncation"]] if model.has_style_space else []))
    batch = torch.export.Dim("N")
    shapes = ({0: batch}, {0: batch} if model.attributes else None, *([{}] if model.has_style_space else []))
    return trace(exportable_copy(model), arguments, list(inputs), "images", shapes)


def trace(
    network: torch.nn.Module, arguments: tuple[Tensor | None, ...], inputs: list[str], output: str,
    shapes: tuple[dict[int, Any] | None, ...],
) -> Any:  # fmt: skip
    """The graph of ``network(*arguments)`` as an onnx.ModelProto; ``shapes`` as ``torch.onnx.export`` has them."""
    require_package("onnx")
    require_package("onnxscript")
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            network, arguments, input_names=inputs, output_names=[output], dynamic_shapes=shapes,
            opset_version=OPSET, dynamo=True, verbose=False,
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    _tidy(proto)
    return proto


def add_metadata(proto: Any, metadata: dict[str, str], version: str = __version__) -> bytes:
    """The content of the file of ``proto`` with ``metadata`` and a SHA-256 of all of it."""
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    proto.producer_name, proto.producer_version = "kaogan", version
    digest = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    proto.metadata_props.add(key=DIGEST, value=digest)
    return bytes(proto.SerializeToString(deterministic=True))


def check_onnx(content: bytes, name: str) -> bool:
    """Whether the content of an ONNX file has kaogan's checksum. Raises KaoganError when it does not match.

    ``name`` is the file's, for the message. A file of another program has no checksum.
    """
    onnx = require_package("onnx")
    try:
        proto = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf has several classes of errors
        raise KaoganError(f"{name} is damaged or no ONNX file; export it again") from error
    metadata = list(proto.metadata_props)
    written = [each.value for each in metadata if each.key == DIGEST]
    del proto.metadata_props[:]
    proto.metadata_props.extend(each for each in metadata if each.key != DIGEST)
    whole = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    ours = proto.producer_name == "kaogan" or any(each.key.startswith("kaogan") for each in metadata)
    if written != [whole] and (written or (ours and holds_digest(each.value for each in metadata))):
        raise KaoganError(f"{name} was altered after it was written: its checksum does not match; export it again")
    return bool(written)


def open_session(content: bytes) -> Any:
    """An onnxruntime.InferenceSession that is quiet and leaves the other cores alone."""
    runtime = require_package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _tidy(proto: Any) -> None:
    """Without the exporter's notes: stack traces with this machine's paths among them."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    graph.name = "kaogan"


def _difference(model: Model, content: bytes) -> float:
    """The largest absolute difference between onnxruntime's images and PyTorch's."""
    session = open_session(content)
    worst = 0.0
    for count, truncation in zip(BATCHES, (1.0, 0.5), strict=True):
        inputs = _inputs(model, count, truncation)
        how = {"truncation": truncation} if model.has_style_space else {}
        with torch.inference_mode(), exact(model.device):
            conditions = inputs["codes"].to(model.device) if model.attributes else None
            wanted = model.generator(inputs["latents"].to(model.device), conditions, **how).cpu().numpy()
        (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        if found.shape != wanted.shape:
            raise KaoganError(f"the ONNX graph makes images {found.shape} instead of {wanted.shape}: nothing written")
        worst = max(worst, float(np.abs(found - wanted).max()))
        if not np.isfinite(found).all():
            return float("inf")
    return worst


def halve(proto: Any, exact: bool = False) -> None:
    """Large float32 weights become float16 with a cast behind each, which runtimes do once, when they load; with
    ``exact`` only those that lose nothing by it."""
    onnx = require_package("onnx")
    casts = []
    for weight in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        fits = values.dtype == np.float32 and values.size >= HALVED_FROM and np.abs(values).max() < 65504
        if not fits or (exact and (values.astype(np.float16) != values).any()):
            continue
        name = weight.name
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _metadata(model: Model) -> dict[str, str]:
    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    preview = base64.b64encode(png(grid(model.sample(PREVIEW_PICTURES), 4))).decode()
    return {
        "kaogan": text(model.config),
        "kaogan.attributes": text(model.attributes.to_json()),
        "kaogan.latent": text(model.config["latent"]),
        "kaogan.images": "(N, C, S, S), RGB or grey, -1 black, 1 white; cut off what is outside",
        "kaogan.preview": f"data:image/png;base64,{preview}",
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's remarks on itself are of no use to anyone who exports."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
