"""Bodies of requests: bounded in time, and JSON ones in size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from kaogan.core.errors import UsageError

MAX_BODY_BYTES = 16 * 2**10
BODY_SECONDS = 10  # for a body to arrive, or the next part of an upload; who stops in the middle must not be waited for
BROKEN_OFF = "the request broke off"


async def parts(request: Request) -> AsyncIterator[bytes]:
    """The body of an upload, which may take long, but not stop. Raises UsageError."""
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(BODY_SECONDS):
                part = await anext(stream)
            yield part
    except StopAsyncIteration:
        return
    except TimeoutError:
        raise UsageError(f"nothing came for {BODY_SECONDS} s; upload it again") from None
    except ClientDisconnect:  # nobody reads the answer: it keeps a traceback from the terminal
        raise UsageError(BROKEN_OFF) from None


async def read_json(request: Request) -> dict[str, str]:
    """The parameters in a JSON object. Raises UsageError."""
    content = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                content += part
                if len(content) > MAX_BODY_BYTES:
                    raise UsageError("this is too long")
    except TimeoutError:
        raise UsageError(f"the request was not whole within {BODY_SECONDS} s") from None
    except ClientDisconnect:
        raise UsageError(BROKEN_OFF) from None
    try:
        found = json.loads(content)
        return {str(key): str(value) for key, value in found.items()}
    except (ValueError, AttributeError, RecursionError):
        raise UsageError("a JSON object of texts is needed") from None
