from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import uvicorn

from kaogan.data.avatars import write_set
from kaogan.generate.explore import Directions
from kaogan.studio.app import build_app
from kaogan.studio.index import ModelIndex
from kaogan.studio.serve import config_of, listen
from tests.generate.conftest import tiny_model
from tests.generate.explore.conftest import styled_model


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that has hair and eyes, a style network and a small set of pictures."""
    home = tmp_path_factory.mktemp("studio") / "home"
    blank = np.zeros((8, 8, 3), np.uint8)
    tiny_model().save(home / "tiny", preview=blank)
    styled_model().save(home / "deep/styled", preview=blank)
    write_set(home / "avatars", 60, 16)
    for name, size in (("mine", 6), ("odd", 7)):
        vector = torch.ones(1, size) / size**0.5
        Directions("z", ("smile",), vector, torch.ones(1), "hand").save(home / f"{name}.safetensors")
    return home


class Served:
    """A studio in a thread of this process, called over its real socket."""

    def __init__(self, home: Path, local: bool = True) -> None:
        self.socket = listen("127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        app = build_app(ModelIndex([home]), ("127.0.0.1", "localhost"), local)
        self.server = uvicorn.Server(config_of(app, "error"))
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],))
        self.thread.start()

    def call(
        self, path: str, body: Any = None, method: str = "", headers: dict | None = None, **parameters: Any
    ) -> tuple:
        """(status, JSON or bytes, headers)."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        default = {"X-Kaogan": "test"} if headers is None else headers
        method = method or ("GET" if data is None else "POST")
        request = urllib.request.Request(self.address + path + query, data, default, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content, given = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            status, content, given = error.code, error.read(), error.headers
        return status, json.loads(content) if "json" in given["Content-Type"] else content, given

    def finished(self, job: dict) -> dict:
        until = time.monotonic() + 150  # where many share a core
        while job["state"] in ("waiting", "running") and time.monotonic() < until:
            time.sleep(0.05)
            _, job, _ = self.call(f"/api/jobs/{job['id']}")
        return job

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(60)
        assert not self.thread.is_alive()
        self.socket.close()


@pytest.fixture(scope="session")
def studio(home: Path) -> Iterator[Served]:
    served = Served(home)
    yield served
    served.close()
