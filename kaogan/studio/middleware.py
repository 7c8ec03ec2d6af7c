"""Security middleware: checks of host and origin, and the headers of every answer."""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
TOKEN = "x-kaogan"  # a header that no other site's page can send without asking first, which is never granted
MAX_QUERY_BYTES = 16 * 2**10


class SecurityMiddleware:
    """Refuses foreign names of this machine (DNS rebinding), calls from other sites' pages, and overlong addresses."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] = ()) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self.refusal(scope)
        app = self.app if refusal is None else JSONResponse({"error": refusal}, 403)
        await app(scope, receive, answer)

    def refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = HOST.fullmatch(headers.get("host", "").lower())
        if self.hosts and (host is None or host[1] not in self.hosts or len(headers.getlist("host")) != 1):
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
