"""Weights in and out: PyTorch, Keras, ONNX, safetensors.  Other libraries are imported only by the conversions.

Every reader notes what it finds in a `graph.Graph`, which makes layers and blocks of it; every writer goes through the
model's layers.
"""

from tinycnn.interop.keras_models import from_keras, to_keras
from tinycnn.interop.onnx_reader import from_onnx
from tinycnn.interop.onnx_writer import to_onnx
from tinycnn.interop.safetensors import load_safetensors, save_safetensors
from tinycnn.interop.torch_reader import from_torch
from tinycnn.interop.torch_writer import to_torch

__all__ = [
    "from_keras",
    "from_onnx",
    "from_torch",
    "load_safetensors",
    "save_safetensors",
    "to_keras",
    "to_onnx",
    "to_torch",
]
