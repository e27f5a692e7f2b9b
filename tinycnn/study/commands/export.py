"""Convert a model between tinycnn, ONNX and Keras, or write its weights as safetensors.

What a file is, its name says: .npz is tinycnn's, .onnx and .keras need the package of that name, and of a .safetensors
only weights are written, by tinycnn's names.

example:
  tinycnn export runs/photos/model.npz model.onnx
"""

import argparse
from pathlib import Path

from tinycnn.interop import from_keras, from_onnx, save_safetensors, to_keras, to_onnx
from tinycnn.interop.peers import peer
from tinycnn.model import Sequential


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``tinycnn export MODEL FILE``."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a .npz, .onnx or .keras file")
    parser.add_argument("file", type=Path, metavar="FILE", help="what to write: .npz, .onnx, .keras or .safetensors")


def run(options: argparse.Namespace) -> int:
    """Read the one, write the other, and say so."""
    read, write = options.model.suffix, options.file.suffix
    if read not in (".npz", ".onnx", ".keras") or write not in (".npz", ".onnx", ".keras", ".safetensors"):
        raise ValueError(
            f"cannot make {options.file} of {options.model}: models are read from .npz, .onnx and .keras, and "
            "written to these and .safetensors"
        )
    if read == ".npz":
        model = Sequential.load(options.model)
    elif read == ".onnx":
        model = from_onnx(options.model)
    else:
        model = from_keras(peer("keras", "export").saving.load_model(options.model, compile=False))
    if write == ".npz":
        model.save(options.file)
    elif write == ".onnx":
        to_onnx(model, options.file)
    elif write == ".safetensors":
        save_safetensors(model.get_weights(), options.file)
    else:
        to_keras(model).save(options.file)
    print(f"{options.file}: {len(model.layers)} layers, {model.count_params:,} parameters")
    return 0
