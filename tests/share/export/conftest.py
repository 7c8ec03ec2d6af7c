from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from kaogan.core.schema import Schema
from kaogan.generate.model import Model
from tests.generate.conftest import tiny_model


def lively(model: Model) -> Model:
    """With weights so large that no picture is grey, and running statistics that are not those of a fresh network."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in model.generator.state_dict().items():
            if name.endswith("running_mean"):
                value.normal_(0, 0.1, generator=generator)
            elif name.endswith(("w_avg", "gamma", "noise_strength", "rgb.0.weight")):
                value.normal_(0, 0.5, generator=generator)
    return model


@pytest.fixture(scope="session")
def coded() -> Model:
    return lively(tiny_model())


@pytest.fixture(scope="session")
def plain() -> Model:
    return lively(tiny_model(Schema(), distribution="uniform", channels=1))


def enlarger(path: Path, factor: int, channels: int = 3, size: int = 16) -> Path:
    """An "upscaler" that repeats pixels and inverts them, so that one sees it at work."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Resize", ["images", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Neg", ["large"], ["out"]),
    ]
    shapes = ["N", channels, size, size], ["N", channels, size * factor, size * factor]
    graph = helper.make_graph(
        nodes, "enlarger",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shapes[1])],
        [helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0, 1.0, factor, factor])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def page_folder(coded: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from kaogan.share.export import export_web

    folder = tmp_path_factory.mktemp("page")
    upscaler = enlarger(folder / "double.onnx", 2)
    return export_web(coded, folder / "web", upscaler, title="Tiny <faces>", seed=3, upscale=True)


@pytest.fixture(scope="session")
def single_page(coded: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from kaogan.share.export import export_web

    return export_web(
        coded, tmp_path_factory.mktemp("single") / "faces.html", title="Tiny <faces>", seed=3, single_file=True
    )


class Site:
    """A static server; ``asked`` are the paths that were asked for."""

    def __init__(self, folder: Path):
        asked = self.asked = []  # type: list[str]

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                asked.append(self.path)

        handler = functools.partial(Handler, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
