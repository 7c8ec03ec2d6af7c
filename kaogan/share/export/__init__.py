"""Models for elsewhere: ONNX, a single safetensors file, a folder for the Hugging Face Hub, a web page."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaogan.share.export.hub import export_hub, push
    from kaogan.share.export.onnx_file import export_onnx
    from kaogan.share.export.safetensors_file import export_safetensors
    from kaogan.share.export.upscaler import export_upscaler
    from kaogan.share.export.web import export_web

__all__ = ["export_hub", "export_onnx", "export_safetensors", "export_upscaler", "export_web", "push"]

_PLACES = {"export_hub": "hub", "push": "hub", "export_onnx": "onnx_file", "export_safetensors": "safetensors_file",
           "export_upscaler": "upscaler", "export_web": "web"}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'kaogan.share.export' has no attribute '{name}'")
