"""The web page as one HTML file, which a browser opens from a disk: all files of the folder are inside of it."""

from __future__ import annotations

import base64
import json
import posixpath
import re
from collections.abc import Mapping

from kaogan.core.errors import KaoganError

LARGEST_FILE = 45_000_000  # bytes that may be sent to somebody and opened on a phone
KINDS = {".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml",
         ".png": "image/png"}  # fmt: skip
# A page from a disk has no origin of its own: what it loads are data: addresses, and nothing else may be asked for.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' data: 'wasm-unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src data:; worker-src data:; base-uri 'none'; form-action 'none'"
)
UNUSED = {"index.html", "sw.js", "manifest.webmanifest"}


def single_file(files: Mapping[str, bytes]) -> bytes:
    """The page of the folder ``files`` (name -> content) as one file. Raises KaoganError above ``LARGEST_FILE``."""
    html = files["index.html"].decode()
    modules = {name for name in files if name.endswith(".js") and "/" not in name.removeprefix("kit/")}
    modules -= {"worker.js", "compile.js", "sw.js"}  # not the page's: the worker's, and the folder's only
    html = re.sub(r'content="default-src [^"]*"', f'content="{POLICY}"', html)
    html = re.sub(r'<link rel="manifest"[^>]*>\n', "", html)
    html = re.sub(r'<link rel="stylesheet" href="([^"]+)">', lambda m: f"<style>\n{files[m[1]].decode()}</style>", html)
    html = re.sub(
        r'(href|src)="([^"#]+\.(?:png|svg)|runtime/LICENSE)"', lambda m: f'{m[1]}="{_address(files, m[2])}"', html
    )
    html = html.replace(">licence</a>", ' download="LICENSE">licence</a>')
    imports = {name: _data(_bare_imports(name, files[name].decode()).encode(), ".js") for name in sorted(modules)}
    blocks = [
        f'<script type="text/plain" data-file="{name}" data-kind="{_kind(name)}">{_base64(content)}</script>\n'
        for name, content in sorted(files.items())
        if name not in modules | UNUSED and not name.endswith((".css", ".png", ".svg", "LICENSE", "SOURCE.json"))
    ]
    start = f'<script type="importmap">{json.dumps({"imports": imports})}</script>\n'
    html = html.replace('<script type="module" src="app.js"></script>\n', start)
    html = html.replace("</body>", "".join(blocks) + '<script type="module">import "app.js";</script>\n</body>')
    content = html.encode()
    if len(content) > LARGEST_FILE:
        raise KaoganError(
            f"the page would be a file of {len(content) / 1e6:.0f} MB, and at most "
            f"{LARGEST_FILE / 1e6:.0f} are sensible; use --half or --no-upscale, or write the folder"
        )
    return content


def _bare_imports(name: str, script: str) -> str:
    """Imports by the names in the import map: a data: address has no folder that "./" could mean."""
    folder = posixpath.dirname(name)
    return re.sub(
        r'^(import [^;]*?")\./([\w./]+)";',
        lambda m: f'{m[1]}{posixpath.join(folder, m[2])}";',
        script,
        flags=re.MULTILINE,
    )


def _address(files: Mapping[str, bytes], name: str) -> str:
    return _data(files[name], posixpath.splitext(name)[1])


def _data(content: bytes, suffix: str) -> str:
    return f"data:{KINDS.get(suffix, 'text/plain')};base64,{_base64(content)}"


def _kind(name: str) -> str:
    return KINDS.get(posixpath.splitext(name)[1], "application/octet-stream")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
