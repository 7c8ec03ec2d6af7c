"""The studio over its socket: what it answers, and to whom."""

from __future__ import annotations

import base64
import concurrent.futures
import io
import json
import socket
import zipfile

import pytest
import torch
from PIL import Image

from kaogan.core.errors import KaoganError, UsageError
from kaogan.generate.model import load
from kaogan.studio import rendering
from kaogan.studio.serve import is_local, listen, serve


def pixels(answer: dict) -> list[bytes]:
    return [base64.b64decode(face["picture"].partition(",")[2]) for face in answer["faces"]]


def test_what_there_is(studio):
    _, found, _ = studio.call("/api/overview")
    assert found["models"] == ["deep/styled", "tiny", "kao"] and found["shipped"] == ["kao"]
    assert found["opening"] in ("deep/styled", "tiny")
    assert found["sets"] == ["avatars"] and not found["runs"]
    assert "demo" in [recipe["name"] for recipe in found["recipes"]] and found["training"]
    _, facts, _ = studio.call("/api/model", model="tiny")
    assert [attribute["name"] for attribute in facts["attributes"]] == ["hair", "eyes"] and facts["image_size"] == 16


def test_faces_are_those_of_sample(studio, home):
    query = {"model": "tiny", "seed": 4, "count": 3, "truncation": 0.5, "a.hair": "white"}
    _, found, _ = studio.call("/api/faces", **query)
    expected = load(home / "tiny").sample(3, seed=4, truncation=0.5, hair="white")
    assert pixels(found) == [rendering.png(picture) for picture in expected]
    assert [face["face"] for face in found["faces"]] == ["4.0", "4.1", "4.2"]
    _, packed, headers = studio.call("/api/faces", **query, save="zip")
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        assert file.read("4.2.png") == pixels(found)[2]
        assert json.loads(file.read("settings.json"))["a.hair"] == "white"
    assert headers["Content-Disposition"] == 'attachment; filename="faces-4.zip"'
    _, sheet, _ = studio.call("/api/faces", **query, save="png")
    assert Image.open(io.BytesIO(sheet)).size == (38, 38)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"count": 10**9}, "the count must be from 1 to 100, not 1,000,000,000"),
        ({"seed": "sakura"}, "the seed must be a whole number"),
        ({"truncation": "nan"}, "the truncation must be"),
        ({"a.hair": "pnik"}, "unknown hair 'pnik' (did you mean 'pink'?)"),
        ({"a.beard": "long"}, "unknown attribute 'beard'"),
        ({"model": "../tiny"}, "no model '../tiny'"),
        ({"model": "tiny/../tiny"}, "no model"),
    ],
)
def test_mistakes_are_told_and_the_server_stays_up(studio, query, message):
    status, found, _ = studio.call("/api/faces", **{"model": "tiny", "count": 1, **query})
    assert status == 400 and message in found["error"] and "\n" not in found["error"]
    assert studio.call("/api/faces", model="tiny", count=1)[0] == 200


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), 503, "out of memory; ask for less"),
        (RuntimeError("a bug"), 500, "this went wrong inside of kaogan; the terminal says more"),
    ],
)
def test_too_little_memory_on_a_card_is_told(studio, error, status, message, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(rendering, "faces", fail)
    assert studio.call("/api/faces", model="tiny", count=1)[:2] == (status, {"error": message})


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/run/grid", {"run": "../../etc", "clock": 1}),
        ("/api/run", {"run": "/etc"}),
        ("/api/jobs/no-such-job", {}),
        ("/page/../app.py", {}),
        ("/page/%2e%2e/app.py", {}),
        ("/page//etc/passwd", {}),
        ("/nothing", {}),
    ],
)
def test_nothing_outside_can_be_read(studio, path, query):
    status, found, _ = studio.call(path, **query)
    assert status in (400, 404) and b"import" not in (found if isinstance(found, bytes) else b"")


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/api/overview", "GET", {"Host": "evil.example"}),
        ("/", "GET", {"Host": "evil.example:7860"}),
        ("/api/overview", "GET", {"Sec-Fetch-Site": "cross-site"}),
        ("/api/faces?model=tiny", "GET", {"Sec-Fetch-Site": "same-site"}),
        ("/api/run/start", "POST", {}),
        ("/api/run/stop", "POST", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("/api/jobs/any", "DELETE", {}),
    ],
)
def test_other_sites_are_refused(studio, path, method, headers):
    status, found, _ = studio.call(path, b"{}" if method == "POST" else None, method, headers)
    assert status == 403 and "studio" in found["error"]


def test_pages_may_load_nothing_from_elsewhere(studio):
    _, page, headers = studio.call("/", headers={})
    assert b"kaogan" in page and b"http" not in page
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "http" not in policy and "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 5000, b'{"a": "' + b"b" * 20_000 + b'"}'])
def test_bodies_that_are_none(studio, body):
    status, found, _ = studio.call("/api/jobs", body)
    assert status == 400 and found["error"]


def test_two_visitors_get_what_each_asked_for(studio):
    with concurrent.futures.ThreadPoolExecutor(4) as visitors:
        calls = [
            visitors.submit(studio.call, "/api/faces", model=model, seed=seed, count=2)
            for seed in range(4)
            for model in ("tiny", "deep/styled")
        ]
        together = [call.result()[1] for call in calls]
    alone = [
        studio.call("/api/faces", model=model, seed=seed, count=2)[1]
        for seed in range(4)
        for model in ("tiny", "deep/styled")
    ]
    assert together == alone


def test_a_film_is_made_and_bounded(studio):
    query = {"job": "film", "model": "tiny", "kind": "gif", "faces": 3, "steps": 2, "fps": 10}
    status, job, _ = studio.call("/api/jobs", query)
    job = studio.finished(job)
    assert status == 202 and job["state"] == "done" and job["files"] == ["film.gif"], job
    _, film, headers = studio.call(f"/api/jobs/{job['id']}/film.gif", save=1)
    assert Image.open(io.BytesIO(film)).n_frames == 6 and "attachment" in headers["Content-Disposition"]
    assert studio.call(f"/api/jobs/{job['id']}/..%2F..%2Fpasswd")[0] in (400, 404)
    for wrong, message in (
        ({"steps": 240, "faces": 48}, "at most 600 frames, not 11,520"),
        ({"kind": "exe"}, "mp4, webp, gif"),
    ):
        status, found, _ = studio.call("/api/jobs", query | wrong)
        assert status == 400 and message in found["error"]


def test_an_evaluation_gives_a_table(studio):
    query = {"job": "evaluation", "model": "tiny", "data": "avatars", "count": 50}
    job = studio.finished(studio.call("/api/jobs", query)[1])
    assert job["state"] == "done", job
    table = job["result"]
    assert table["count"] == 50 and table["against"].startswith("60 real pictures of avatars")
    assert {"hair as asked", "eyes as asked"} <= {row["name"] for row in table["rows"]}
    assert "pictures of tiny" in table["verdict"]
    _, page, headers = studio.call(f"/api/jobs/{job['id']}/evaluation.html")
    assert b"<table" in page and headers["Content-Security-Policy"].startswith("sandbox;")
    assert "choose the pictures" in studio.call("/api/jobs", query | {"data": ""})[1]["error"]
    assert studio.call("/api/jobs", query | {"count": 10**9})[1]["error"].startswith(
        "the count must be from 50 to 2,000"
    )


def test_a_port_in_use_is_one_clear_line(home):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(KaoganError, match=f"port {port} is in use.*--port"):
            serve(home, None, "127.0.0.1", port, lambda address, local: None)
    for port in (-1, 65536):
        with pytest.raises(UsageError, match="a port is a number"):
            listen("127.0.0.1", port)
    with pytest.raises(UsageError, match="cannot listen on"):
        listen("192.0.2.1", 0)


def test_which_addresses_are_of_this_machine_only():
    assert [is_local(host) for host in ("127.0.0.1", "localhost", "::1", "127.0.0.5")] == [True] * 4
    assert [is_local(host) for host in ("0.0.0.0", "::", "192.168.1.5", "a.example")] == [False] * 4


def test_ports_are_free_again_after_a_socket_is_closed():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
    with listen("127.0.0.1", port), socket.create_connection(("127.0.0.1", port), 5):
        pass
