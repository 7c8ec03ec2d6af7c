"""Server of the studio: socket, address and uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from kaogan.core.errors import KaoganError, UsageError
from kaogan.studio.middleware import ROOT_PATH, host_of

MAX_OPEN = 512  # connections
REQUEST_SECONDS = 10.0  # for a request's first line and headers to arrive


class PatientProtocol(H11Protocol):
    """HTTP of uvicorn, which waits for ever for a request that is begun and never ended: such a connection is closed
    after ``REQUEST_SECONDS``, and earlier, the oldest first, when more than ``MAX_OPEN`` are there."""

    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > MAX_OPEN:
            waiting = [each for each in self.connections if isinstance(each, PatientProtocol) and each._closing]
            min(waiting, key=lambda each: each._closing.when()).close()  # type: ignore[union-attr]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def close(self) -> None:
        self._stop_waiting()
        self.transport.abort()

    def _wait(self) -> None:
        self._stop_waiting()
        self._closing = self.loop.call_later(REQUEST_SECONDS, self.close)

    def _stop_waiting(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None


def serve(
    folder: Path, models: Path | None, host: str, port: int, ready: Callable[[str, bool], None],
    allowed: Sequence[str] = (), root_path: str = "",
) -> None:  # fmt: skip
    """Serve until Ctrl-C. ``ready(address, local)`` is called before the first request is answered.

    ``allowed`` are more names that it may be called by, ``root_path`` is what a proxy puts before its paths.

    Raises UsageError for a folder or a port that cannot be used, KaoganError for one that is taken.
    """
    local = is_local(host)
    more = tuple(host_of(name) or "" for name in allowed)
    if "" in more:
        raise UsageError(f"'{allowed[more.index('')]}' is no name of a host; write it as in hub.example.org")
    if not ROOT_PATH.fullmatch(root_path):
        raise UsageError(f"'{root_path}' is no path; write it as in /user/me/kaogan")
    shown = f"[{host}]" if ":" in host else host
    names = ("127.0.0.1", "localhost", "[::1]", shown.lower(), *more) if local or more else ()
    with listen(host, port) as listening:
        # Only now: PyTorch takes seconds, and a port that is taken should be told of at once.
        from kaogan.studio.app import build_app
        from kaogan.studio.index import ModelIndex

        model_index = ModelIndex([folder, *([models] if models else [])])
        address = f"http://{shown}:{listening.getsockname()[1]}/"
        app = build_app(model_index, names, local, root_path)
        ready(address, local)
        with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again when everything is closed
            uvicorn.Server(config_of(app)).run([listening])


def config_of(app: Starlette, log_level: str = "warning") -> uvicorn.Config:
    return uvicorn.Config(
        app, log_level=log_level, access_log=False, timeout_graceful_shutdown=2, server_header=False, ws="none",
        http=PatientProtocol, proxy_headers=False,
    )  # fmt: skip


def is_local(host: str) -> bool:
    """Whether only this machine can call ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address, so that a taken port is known before anything else is done."""
    if not 0 <= port <= 65535:
        raise UsageError(f"a port is a number from 0 (any free one) to 65535, not {port}")
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise KaoganError(
                f"port {port} is in use, perhaps by another studio; choose another one with --port, or 0 for any"
            ) from None
        if error.errno == errno.EACCES:
            raise KaoganError(f"no permission for port {port}; choose one from 1024 up") from None
        raise UsageError(f"cannot listen on {host}: {error.strerror or error}; 127.0.0.1 is this machine") from None
    return listening
