"""Models for elsewhere: ONNX, a single safetensors file, a folder for the Hugging Face Hub, a web page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaogan.core.lazy_names import lazy_names

if TYPE_CHECKING:
    from kaogan.share.export.hub import export_hub, push
    from kaogan.share.export.onnx_file import export_onnx
    from kaogan.share.export.safetensors_file import export_safetensors
    from kaogan.share.export.upscaler import export_upscaler
    from kaogan.share.export.web import export_web

__all__ = ["export_hub", "export_onnx", "export_safetensors", "export_upscaler", "export_web", "push"]

__getattr__ = lazy_names(__name__, {".hub": ("export_hub", "push"), ".onnx_file": ("export_onnx",),
                                    ".safetensors_file": ("export_safetensors",), ".upscaler": ("export_upscaler",),
                                    ".web": ("export_web",)})  # fmt: skip
