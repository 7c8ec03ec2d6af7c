"""Where the browser's runtime comes from: makes ``runtime/`` from onnxruntime-web's npm package.

    npm pack onnxruntime-web@1.30.0
    python -m tools.vendor_ort onnxruntime-web-1.30.0.tgz

For maintainers only: the files are part of kaogan, as they are in the package but for gzip around the .wasm, and
``SOURCE.json`` says which they are. The package has no licence file; its package.json and repository say MIT.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import sys
import tarfile
from pathlib import Path

from kaogan.core.errors import KaoganError
from kaogan.share.export.runtime_files import FILES, PACKED, RUNTIME, SOURCE


def vendor(tarball: Path, folder: Path = RUNTIME) -> None:
    """Write the files of ``FILES`` and SOURCE.json to ``folder``. Raises KaoganError for another package."""
    content = tarball.read_bytes()
    files = {}
    with tarfile.open(tarball) as archive:
        about = json.loads(_read(archive, "package/package.json"))
        if about["name"] != "onnxruntime-web" or about["license"] != "MIT":
            raise KaoganError(f"{tarball} is {about['name']} under {about['license']}, not onnxruntime-web under MIT")
        folder.mkdir(exist_ok=True)
        for name in (name for kind in FILES.values() for name in kind):
            data = _read(archive, f"package/dist/{name}")
            files[name] = hashlib.sha256(data).hexdigest()
            if name.endswith(".wasm"):
                (folder / (name + PACKED)).write_bytes(gzip.compress(data, 9, mtime=0))
            else:
                (folder / name).write_bytes(data)
    source = {
        "package": about["name"],
        "version": about["version"],
        "integrity": "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode(),
        "license": about["license"],
        "sha256": files,
    }
    (folder / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KaoganError(f"{name} is no file in the package")
    return file.read()


if __name__ == "__main__":
    vendor(Path(sys.argv[1]))
