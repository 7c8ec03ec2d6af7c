"""Names and paths that the studio answers to, and connections that begin a request and never end it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.requests import Request

from kaogan.core.errors import UsageError
from kaogan.studio import serve
from kaogan.studio.middleware import SecurityMiddleware, host_of
from kaogan.studio.request_body import parts, read_json


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost", "localhost"), ("LocalHost:7860", "localhost"), ("127.0.0.1:0", "127.0.0.1"),
        ("[::1]", "[::1]"), ("[0:0::1]:80", "[::1]"), ("hub.example.org:65535", "hub.example.org"),
        ("", None), (":80", None), ("localhost:", None), ("localhost:65536", None), ("localhost:+80", None),
        ("localhost:\uff18\uff10", None), ("localhost.", None), ("localhost localhost", None), ("localhost,evil", None),
        ("evil@localhost", None), ("localhost/", None), ("localhost:80:80", None), ("::1", None), ("[::1", None),
        ("[::1]x", None), ("[::1%eth0]", None), ("[evil]", None), ("-a.example", None), ("a..example", None),
        ("a" * 64, None), ("locao\u017fhost", None), ("localhost\t", None),
    ],
)  # fmt: skip
def test_hosts(text: str, host: str | None) -> None:
    assert host_of(text) == host


def answer(path: str, root_path: str = "", hosts: tuple[str, ...] = ("localhost",), *named: str) -> tuple[int, Any]:
    """(status, the path that the application saw, or where it is sent)."""
    seen: list[str] = []
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", name.encode()) for name in named or ("localhost",)]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    # In a thread of its own: a browser that another test has open keeps this one's event loop running.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, SecurityMiddleware(app, hosts, root_path)(scope, None, send)).result()  # type: ignore[arg-type]
    location = dict(sent[0]["headers"]).get(b"location")
    return sent[0]["status"], location.decode() if location else (seen or [None])[0]


def test_a_proxys_path_is_taken_off_whether_or_not_the_proxy_does() -> None:
    assert answer("/user/me/api/faces", "/user/me") == (200, "/api/faces")
    assert answer("/api/faces", "/user/me") == (200, "/api/faces")
    assert answer("/user/me/", "/user/me") == (200, "/")
    assert answer("/user/me", "/user/me") == (307, "/user/me/")
    assert answer("/user/melanie", "/user/me") == (200, "/user/melanie")


def test_names() -> None:
    assert answer("/", "", ("localhost",), "localhost:80")[0] == 200
    assert answer("/", "", ("localhost",), "localhost", "localhost")[0] == 403
    assert answer("/", "", ("localhost",), "localhost.evil")[0] == 403
    assert answer("/", "", (), "any.example")[0] == 200
    assert answer("/", "", (), "no host")[0] == 403


def half_open(port: int, begun: bytes = b"GET / HT") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.sendall(begun)
    return connection


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_half_open_connections_starve_nobody(studio: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "MAX_OPEN", 60)
    port = studio.socket.getsockname()[1]
    body = b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nX-Kaogan: a\r\nContent-Length: 9\r\n\r\n"
    waiting = [half_open(port) for _ in range(80)] + [half_open(port, body) for _ in range(10)]
    try:
        assert studio.call("/api/overview")[0] == 200
        assert closed(waiting[0]), "the oldest had to go"
    finally:
        for connection in waiting:
            connection.close()


def test_a_request_that_never_ends_is_given_up(studio: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "REQUEST_SECONDS", 0.1)
    monkeypatch.setattr("kaogan.studio.request_body.BODY_SECONDS", 0.1)
    port = studio.socket.getsockname()[1]
    for path in (b"/api/jobs", b"/api/pictures?set=never&file=a.png", b"/api/project?model=tiny"):
        body = b"POST %s HTTP/1.1\r\nHost: localhost\r\nX-Kaogan: a\r\nContent-Length: 9\r\n\r\n{" % path
        with half_open(port, body) as connection:
            assert connection.recv(1000).startswith(b"HTTP/1.1 400"), path
    with half_open(port) as connection:
        assert closed(connection)


async def read_parts(request: Request) -> bytes:
    return b"".join([part async for part in parts(request)])


@pytest.mark.parametrize("read", [read_json, read_parts])
def test_a_request_that_breaks_off_is_refused_in_a_line(read: Callable[[Request], Awaitable[object]]) -> None:
    """uvicorn would print the traceback of any other exception."""
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def answer() -> object:
        return await read(Request({"type": "http", "method": "POST", "headers": []}, receive))

    # In a thread of its own: a browser that another test has open keeps this one's event loop running.
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="broke off"):
        pool.submit(asyncio.run, answer()).result()
