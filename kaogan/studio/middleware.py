"""Security middleware: checks of host and origin, and the headers of every answer."""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9._~@%-]+)*")
MAX_ACTIVE = 256  # requests that are being answered
TOKEN = "x-kaogan"  # a header that no other site's page can send without asking first, which is never granted
MAX_QUERY_BYTES = 16 * 2**10


class SecurityMiddleware:
    """Refuses foreign names of this machine (DNS rebinding), calls from other sites' pages, and overlong addresses."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] = (), root_path: str = "") -> None:
        self.app, self.hosts, self.root_path = app, hosts, root_path
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        path = scope["path"]
        if self.root_path and (path + "/").startswith(self.root_path + "/"):  # a proxy that does not take it off
            path = path[len(self.root_path) :]
        scope = {**scope, "path": path or "/"}
        refusal = self.refusal(scope)
        if refusal is not None:
            app: ASGIApp = JSONResponse({"error": refusal}, 403)
        elif not path:  # the addresses in the page are relative to its folder
            app = RedirectResponse(f"{self.root_path}/")
        else:
            app = self.app if self._active < MAX_ACTIVE else JSONResponse({"error": "the studio is busy"}, 503)
        self._active += 1
        try:
            await app(scope, receive, answer)
        finally:
            self._active -= 1

    def refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        host = host_of(named[0]) if len(named) == 1 else None
        if host is None or (self.hosts and host not in self.hosts):
            return "the studio does not answer to this name; call it as it is printed in the terminal"
        if len(scope.get("query_string", b"")) > MAX_QUERY_BYTES:
            return "this address is too long"
        api = scope["path"].startswith("/api/")
        # Browsers say where a call comes from; "none" is a person who typed the address.
        if api and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return "the studio answers only to its own page"
        if scope["method"] not in ("GET", "HEAD") and TOKEN not in headers:
            return "the studio answers only to its own page"
        return None


def host_of(text: str) -> str | None:
    """The host, in small letters, of the value of a Host header: ``NAME``, ``1.2.3.4`` or ``[IPv6]`` with a port or
    without. None for anything else."""
    host, bracket, port = text.lower().partition("]") if text.startswith("[") else ("", "", text.lower())
    if bracket:
        host += bracket
    else:
        host, colon, port = port.partition(":")
        port = colon + port
    if port and not re.fullmatch(r":[0-9]{1,5}", port, re.ASCII):
        return None
    if port and int(port[1:]) > 65535:
        return None
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1])}]" if "%" not in host else None
        except ValueError:
            return None
    return host if len(host) <= 253 and NAME.fullmatch(host) else None
