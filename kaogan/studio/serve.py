"""Server of the studio: socket, address and uvicorn."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from kaogan.core.errors import KaoganError, UsageError

MAX_CONNECTIONS = 64


def serve(folder: Path, models: Path | None, host: str, port: int, ready: Callable[[str, bool], None]) -> None:
    """Serve until Ctrl-C. ``ready(address, local)`` is called before the first request is answered.

    Raises UsageError for a folder or a port that cannot be used, KaoganError for one that is taken.
    """
    local = is_local(host)
    names = ("127.0.0.1", "localhost", "[::1]", host.lower()) if local else ()
    with listen(host, port) as listening:
        # Only now: PyTorch takes seconds, and a port that is taken should be told of at once.
        from kaogan.studio.app import build_app
        from kaogan.studio.index import ModelIndex

        model_index = ModelIndex([folder, *([models] if models else [])])
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}/"
        app = build_app(model_index, names, local)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, limit_concurrency=MAX_CONNECTIONS, timeout_graceful_shutdown=2,
            server_header=False, ws="none",
        )  # fmt: skip
        ready(address, local)
        with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again when everything is closed
            uvicorn.Server(config).run([listening])


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
