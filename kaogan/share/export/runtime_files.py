"""Files of onnxruntime-web inside the package; ``python -m tools.vendor_ort`` writes them."""

from __future__ import annotations

from pathlib import Path

RUNTIME = Path(__file__).resolve().parent / "runtime"
SOURCE = "SOURCE.json"
PACKED = ".gz"
# For each backend: the script, its module and its program. The second needs a browser with WebGPU and JSPI.
FILES = {
    "wasm": ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.jspi.min.mjs", "ort-wasm-simd-threaded.jspi.mjs", "ort-wasm-simd-threaded.jspi.wasm"),
}
