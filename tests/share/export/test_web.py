"""The folder of the web page; what it does is in test_page.py."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kaogan.core.errors import KaoganError, UsageError
from kaogan.generate.model import Model, load
from kaogan.share.export import export_web, single_file, web
from kaogan.share.export.runtime_files import FILES, RUNTIME, SOURCE
from tests.share.export.conftest import enlarger

pytestmark = pytest.mark.timeout(300)  # a trace is a long calculation where many share a core


def test_the_runtime_is_that_of_the_npm_package() -> None:
    source = json.loads((RUNTIME / SOURCE).read_text())
    assert source["package"] == "onnxruntime-web" and source["license"] == "MIT"
    assert set(source["sha256"]) == {name for kind in FILES.values() for name in kind}
    for name, digest in source["sha256"].items():
        packed = RUNTIME / f"{name}.gz"
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else (RUNTIME / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, name
    assert "Microsoft" in (RUNTIME / "LICENSE").read_text()


def test_the_folder_is_whole_and_asks_for_nothing_else(page_folder: Path, coded: Model) -> None:
    about = json.loads((page_folder / "model.json").read_text())
    assert about["attributes"] == coded.attributes.to_json() and about["upscalers"] == [
        {"scale": scale, "file": f"upscaler-{scale}.onnx"} for scale in (2, 4, 8)
    ]
    named = [about["file"], *(file for kind in about["runtime"].values() for file in kind.values())]
    release = json.loads(re.findall(r"const RELEASE = (\{.*\});", (page_folder / "sw.js").read_text())[0])
    assert release["version"] == about["version"]
    for name in [*named, *release["files"], *(each["file"] for each in about["upscalers"])]:
        assert (page_folder / name).is_file(), name
    assert {"index.html", "app.js", "worker.js", "model.json", about["runtime"]["wasm"]["script"]} <= {
        *release["files"]
    }
    own = [page_folder / each.name for each in page_folder.iterdir() if each.suffix in (".html", ".js", ".css")]
    assert len(own) >= 7
    for file in own:
        assert not re.search(r"(?<!xmlns=\")https?://", file.read_text()), file
    html = (page_folder / "index.html").read_text()
    assert "<title>Tiny &lt;faces&gt;</title>" in html and "{{" not in html


def test_the_first_picture_is_that_of_the_seed(page_folder: Path, coded: Model) -> None:
    start = json.loads((page_folder / "model.json").read_text())["start"]
    assert start == {"seed": 3, "number": 0, "truncation": 1, "values": {"hair": "orange", "eyes": "black"}}
    wanted = coded.sample(1, seed=3, hair="orange", eyes="black")[0]
    assert (np.asarray(Image.open(page_folder / "first.png")) == wanted).all()


def test_a_page_changes_its_version_with_its_model(
    coded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = []
    for number, content in enumerate((b"one", b"one", b"another")):
        monkeypatch.setattr(web, "onnx_bytes", lambda model, half, content=content: (content, 0.0))
        folder = export_web(coded, tmp_path / str(number), upscale=False)
        versions.append(json.loads((folder / "model.json").read_text())["version"])
    assert versions[0] == versions[1] != versions[2]


def test_directions_of_the_pointer_are_in_the_page(
    coded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "onnx_bytes", lambda model, half: (b"one", 0.0))
    with pytest.raises(UsageError, match="none are seen in the pictures"):
        export_web(coded, tmp_path / "none", upscale=False, follow=True)
    assert not (tmp_path / "none").exists()
    monkeypatch.setattr(web, "pointer_directions", lambda model, progress: torch.eye(6)[:2] / 3)
    folder = export_web(coded, tmp_path / "page", upscale=False, follow=True)
    assert json.loads((folder / "model.json").read_text())["follow"] == [[0.33333, *[0] * 5], [0, 0.33333, *[0] * 4]]


def test_work_on_a_page_can_be_called_off_between_its_parts(
    coded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "onnx_bytes", lambda model, half: (b"model", 0.0))
    monkeypatch.setattr(web, "upscaler_bytes", lambda upscaler, scale, size, channels: (bytes([scale] * 9), 0.0))
    heard: list[str] = []

    def progress(done: int, total: int, what: str) -> None:
        heard.append(what)
        if what == stop:
            raise KaoganError("called off")

    parts = ["tracing the network", "tracing the upscaler, ×4", "tracing the upscaler, ×8", "writing the page"]
    for stop in parts:
        heard.clear()
        with pytest.raises(KaoganError, match="called off"):
            export_web(coded, tmp_path / "page.html", single_file=True, progress=progress)
        assert heard == parts[: parts.index(stop) + 1] and not list(tmp_path.iterdir())


def test_the_words_in_python_name_a_model_only_if_it_comes_with_kaogan(coded: Model) -> None:
    assert web._about(coded, 0, ["wasm"])[0]["path"] == "path/to/the/model"
    assert web._about(load("kao", "cpu"), 0, ["wasm"])[0]["path"] == "kao"


def test_whether_a_page_enlarges(coded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "onnx_bytes", lambda model, half: (b"model", 0.0))
    monkeypatch.setattr(web, "upscaler_bytes", lambda upscaler, scale, size, channels: (bytes([scale] * 9), 0.0))
    double = enlarger(tmp_path / "double.onnx", 2)

    def scales(name: str, *upscaler: Path, **options: bool) -> list[int]:
        folder = export_web(coded, tmp_path / name, upscaler, **options)
        return [each["scale"] for each in json.loads((folder / "model.json").read_text())["upscalers"]]

    assert scales("default") == [4, 8] and scales("not", upscale=False) == []
    assert scales("own", double) == [2] and scales("both", double, upscale=True) == [2, 4, 8]
    assert (tmp_path / "default/upscaler-8.onnx").read_bytes() == bytes([8] * 9)
    monkeypatch.setattr(web, "WELCOME", 1000)
    assert scales("large") == [] and scales("asked", upscale=True) == [4, 8]
    monkeypatch.setitem(coded.config, "image_size", 256)
    assert web._own_scales(coded) == [4]
    monkeypatch.setitem(coded.config, "image_size", 512)
    with pytest.raises(UsageError, match="kao-sr enlarges faces of 8 to 256 px"):
        export_web(coded, tmp_path / "huge", upscale=True)


def test_bad_places_and_upscalers(page_folder: Path, coded: Model, plain: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        export_web(coded, page_folder)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(KaoganError, match="file"):
        export_web(coded, file / "page")
    with pytest.raises(KaoganError, match=r"no upscaler for images \(N, 3, 16, 16\) in ONNX"):
        export_web(coded, tmp_path / "page", file)
    with pytest.raises(KaoganError, match="No such file"):
        export_web(coded, tmp_path / "page", tmp_path / "absent.onnx")
    with pytest.raises(KaoganError, match=r"into \(1, 3, 16, 16\): an upscaler enlarges them"):
        export_web(coded, tmp_path / "page", enlarger(tmp_path / "same.onnx", 1))
    with pytest.raises(KaoganError, match="no upscaler for images \\(N, 1, 16, 16\\)"):
        export_web(plain, tmp_path / "page", enlarger(tmp_path / "two.onnx", 2))
    with pytest.raises(UsageError, match="two upscalers enlarge 2 times"):
        export_web(coded, tmp_path / "page", [tmp_path / "two.onnx", tmp_path / "two.onnx"])
    assert not (tmp_path / "page").exists()


def test_a_single_file_holds_all_that_the_folder_does(
    coded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "onnx_bytes", lambda model, half: (b"model", 0.0))
    monkeypatch.setattr(web, "upscaler_bytes", lambda upscaler, scale, size, channels: (bytes([scale] * 9), 0.0))
    page = export_web(coded, tmp_path / "new/page.html", title="Tiny <faces>", single_file=True)
    html = page.read_text()
    inside = dict(re.findall(r'data-file="([^"]+)" data-kind="[^"]+">([^<]*)<', html))
    assert base64.b64decode(inside["model.onnx"]) == b"model" and base64.b64decode(inside["upscaler-4.onnx"]) == bytes(
        [4] * 9
    )
    runtime = json.loads(base64.b64decode(inside["model.json"]))["runtime"]
    assert set(runtime) == {"wasm"} and set(runtime["wasm"].values()) <= set(inside)
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', html)
    assert loaded and all(each.startswith("data:") for each in loaded)
    imports = json.loads(re.findall(r'<script type="importmap">(.*?)</script>', html)[0])["imports"]
    for name, address in imports.items():
        script = base64.b64decode(address.partition(",")[2]).decode()
        assert {*re.findall(r'^import [^;]*?"([^"]+)";', script, re.MULTILINE)} <= set(imports), name
    assert "<title>Tiny &lt;faces&gt;</title>" in html and [each.name for each in (tmp_path / "new").iterdir()] == [
        "page.html"
    ]
    for place in (tmp_path / "page", tmp_path / "page.png"):
        with pytest.raises(UsageError, match=r"ends in \.html"):
            export_web(coded, place, single_file=True)
    monkeypatch.setattr(single_file, "LARGEST_FILE", 10**6)
    with pytest.raises(KaoganError, match="a file of 5 MB, and at most 1"):
        export_web(coded, tmp_path / "large.html", single_file=True)
    assert not (tmp_path / "large.html").exists()
