"""An ONNX file to a `Sequential`."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinycnn.files import PathLike
from tinycnn.interop.graph import Graph, Merge, Pad, ceil_sides
from tinycnn.interop.peers import peer
from tinycnn.layers.activation import LeakyReLU, ReLU, ReLU6, Sigmoid, Softmax, Tanh
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.global_max import GlobalMaxPool2D
from tinycnn.layers.layer_norm import LayerNorm
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.padding import resolve_padding
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.rescaling import Rescaling
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.smooth import ELU, GELU, SiLU, Softplus
from tinycnn.layers.upsample import UpSample2D
from tinycnn.model import Sequential

Converted = tuple[Layer | Pad | Merge | None, dict[str, Any]]
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def from_onnx(path: PathLike) -> Sequential:
    """A `Sequential` that computes what the ONNX file computes, with its weights.

    Images go in as NHWC, whatever the file has: one that takes NCHW, as PyTorch exports it, is read as such, and so is
    one that turns NHWC into NCHW first, as `to_onnx` writes it.

    Parameters
    ----------
    path : path

    Returns
    -------
    Sequential
        Built, in the type of the file's input.

    Raises
    ------
    ImportError
        If onnx is not installed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no ONNX model, and naming the operation that does not convert.

    Examples
    --------
    >>> import pytest, tempfile, pathlib
    >>> onnx = pytest.importorskip("onnx")
    >>> from tinycnn.interop.onnx_writer import to_onnx
    >>> model = Sequential([Dense(3)])
    >>> model.build((2,))
    (3,)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.onnx"
    >>> to_onnx(model, path)
    >>> bool((from_onnx(path).get_weights()["dense/kernel"] == model.get_weights()["dense/kernel"]).all())
    True
    """
    onnx = peer("onnx", "from_onnx")
    try:
        proto = onnx.load(os.fspath(path)).graph
    except OSError:
        raise
    except Exception as error:  # protobuf's, for whatever is in the file
        raise ValueError(f"{path} is no ONNX model: {error}") from error
    to_array = onnx.numpy_helper.to_array
    constants = {tensor.name: to_array(tensor) for tensor in proto.initializer}
    inputs = [value for value in proto.input if value.name not in constants]
    if len(inputs) != 1 or len(proto.output) != 1:
        raise ValueError(f"{path}: {len(inputs)} inputs and {len(proto.output)} outputs; a Sequential has one of each")
    entry = inputs[0].name
    shape = [n.dim_value for n in inputs[0].type.tensor_type.shape.dim][1:]
    if len(shape) not in (1, 3) or 0 in shape:
        raise ValueError(f"{path}: input {entry!r} has no fixed shape of (images, ...): {shape}; export it with one")
    consumers: dict[str, list[Any]] = {}
    for node in proto.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)

    def turned(name: str) -> bool:
        """Whether it is in NHWC, since whoever takes it makes NCHW of it first."""
        takers = consumers.get(name, [])
        perms = [[list(a.ints) for a in n.attribute] if n.op_type == "Transpose" else None for n in takers]
        return bool(perms) and all(perm == [TO_CHANNELS_FIRST] for perm in perms)

    first = {entry} if len(shape) == 3 and not turned(entry) else set()  # images that are in NCHW
    graph = Graph("from_onnx", entry, (*shape[1:], shape[0]) if first else tuple(shape))
    for node in proto.node:
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = to_array(attributes["value"])
            continue
        key, label = node.output[0], node.name or node.output[0]
        names = [name for name in node.input if name and name not in constants]
        operands = [constants.get(name) for name in node.input]
        try:
            if node.op_type == "Transpose":
                perm, to_first = attributes["perm"], names[0] not in first
                if len(graph.shapes[names[0]]) != 3 or perm != (TO_CHANNELS_FIRST if to_first else TO_CHANNELS_LAST):
                    raise ValueError(f"a transpose by {perm} does not convert, only between NCHW and NHWC")
                graph.add(key, None, names)
                if to_first:
                    first.add(key)
                continue
            channels_first = names[0] in first
            if len(graph.shapes[names[0]]) == 3 and not channels_first and node.op_type not in _ANY_LAYOUT:
                raise ValueError("it gets images in NHWC; only networks in NCHW convert")
            if channels_first and len(graph.shapes[names[0]]) == 3 and node.op_type == "LayerNormalization":
                raise ValueError("it normalizes along the rows of NCHW; transpose to NHWC before, and back behind it")
            if node.op_type == "Reshape":
                target = _target(operands[1])
                channels_first = channels_first if len(target) == 1 else not turned(key)
                layer: Any = _reshape(target, channels_first)
                weights: dict[str, Any] = {}
            elif node.op_type == "Mul" and len(names) == 2:
                layer, weights, names = SiLU(), {}, _times_sigmoid(graph, names)
            elif node.op_type not in _CONVERTERS:
                raise ValueError(f"{node.op_type} does not convert; {', '.join(sorted([*_CONVERTERS, 'Reshape']))} do")
            else:
                layer, weights = _CONVERTERS[node.op_type](attributes, operands, graph.shapes[names[0]])
            if isinstance(layer, Layer) and label.isidentifier():
                layer.name = layer.given_name = label
        except (ValueError, KeyError) as error:
            graph.cannot(label, str(error))
        graph.add(key, layer, names, weights, channels_first)
        if len(graph.shapes[key]) == 3 and channels_first:
            first.add(key)
    double = inputs[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
    return graph.sequential(proto.output[0].name, np.float64 if double else np.float32)


_ANY_LAYOUT = {"Relu", "LeakyRelu", "Sigmoid", "Tanh", "Identity", "Dropout", "Add", "Sum", "Reshape", "Flatten"}
_ANY_LAYOUT |= {"Elu", "Gelu", "Softplus", "Swish", "Mul", "LayerNormalization", "Clip"}


def _kernel(operands: Sequence[Any], axes: tuple[int, ...]) -> dict[str, Any]:
    if operands[1] is None or len(operands) > 2 and operands[2] is None:
        raise ValueError("its weights are computed; only constant ones convert")
    bias = {"bias": operands[2].ravel()} if len(operands) > 2 else {}
    return {"kernel": operands[1].transpose(axes), **bias}


def _windows(a: dict[str, Any], shape: Shape, size: Sequence[int]) -> tuple[Any, Any, Any]:
    """Window, strides and padding of an operation that slides over images."""
    strides, pads, auto = a.get("strides", [1, 1]), a.get("pads", [0] * 4), a.get("auto_pad", b"NOTSET").decode()
    if auto not in ("NOTSET", "VALID", "SAME_UPPER"):
        raise ValueError(f"auto_pad={auto} does not convert; export it with pads")
    sides: Any = ((pads[0], pads[2]), (pads[1], pads[3]))
    if auto == "SAME_UPPER":
        dilations = a.get("dilations", [1, 1])
        sides = tuple(resolve_padding("same", *axis) for axis in zip(shape, size, strides, dilations, strict=False))
    if a.get("ceil_mode"):
        sides = tuple(ceil_sides(n, k, s, *p) for n, k, s, p in zip(shape, size, strides, sides, strict=False))
    return tuple(size), tuple(strides), sides


def _conv(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    weights = _kernel(operands, (2, 3, 1, 0))
    rows, columns, _, filters = weights["kernel"].shape
    dilation, groups = tuple(a.get("dilations", [1, 1])), a.get("group", 1)
    where = _windows(a, shape, (rows, columns))
    return Conv2D(filters, *where, dilation, groups, use_bias="bias" in weights), weights


def _conv_transpose(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    weights = _kernel(operands, (2, 3, 1, 0))
    rows, columns, filters, _ = weights["kernel"].shape
    if a.get("group", 1) != 1 or max(a.get("dilations", [1])) != 1 or "output_shape" in a:
        raise ValueError("group, dilations and output_shape of a transposed convolution do not convert")
    size, strides, sides = _windows(a, shape, (rows, columns))
    more = tuple(a.get("output_padding", [0, 0]))
    padding: Any = tuple((before, after - m) for (before, after), m in zip(sides, more, strict=True))
    if np.min(padding) < 0:
        if np.any(sides) or more != tuple(max(0, s - k) for s, k in zip(strides, size, strict=True)):
            raise ValueError(f"output_padding={more} does not convert, more rows than the kernel fills")
        padding = "valid"
    return Conv2DTranspose(filters, size, strides, padding, use_bias="bias" in weights), weights


def _gemm(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    if a.get("alpha", 1.0) != 1 or a.get("beta", 1.0) != 1 or a.get("transA", 0):
        raise ValueError("alpha, beta and transA do not convert")
    weights = _kernel(operands, (1, 0) if a.get("transB", 0) else (0, 1))
    return Dense(weights["kernel"].shape[1], use_bias="bias" in weights), weights


def _norm(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    return BatchNorm(a.get("momentum", 0.9), a.get("epsilon", 1e-5)), dict(zip(names, operands[1:], strict=True))


def _pool(kind: Callable[..., Layer]) -> Callable[..., Converted]:
    def convert(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
        if a.get("count_include_pad") and np.any(a.get("pads", 0)) or max(a.get("dilations", [1])) != 1:
            raise ValueError("dilations and a mean over padded zeros do not convert; export with count_include_pad=0")
        return kind(*_windows(a, shape, a["kernel_shape"])), {}

    return convert


def _mean(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    axes = operands[1] if len(operands) > 1 else a.get("axes")
    if axes is None or sorted(int(n) % 4 for n in axes) != [2, 3]:
        raise ValueError("a mean converts over rows and columns only")
    return GlobalAveragePool2D(keepdims=bool(a.get("keepdims", 1))), {}


def _softmax(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    if a.get("axis", -1) not in ((1, -1) if len(shape) == 1 else (1, -3)):
        raise ValueError("a softmax converts over the channels only")
    return Softmax(), {}


def _resize(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    scales = operands[2] if len(operands) > 2 else None
    mode, place = a.get("mode", b"nearest").decode(), a.get("coordinate_transformation_mode", b"half_pixel").decode()
    if scales is None or len(scales) != 4 or any(s != int(s) for s in scales) or tuple(scales[:2]) != (1, 1):
        raise ValueError("it resizes by no whole constant factors")
    near = mode == "nearest" and place == "asymmetric" and a.get("nearest_mode") == b"floor"
    if not near and not (mode == "linear" and place in ("half_pixel", "pytorch_half_pixel")):
        raise ValueError(f"resizing of mode {mode} with coordinates {place} does not convert")
    return UpSample2D((int(scales[2]), int(scales[3])), "nearest" if near else "bilinear"), {}


def _pad(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    pads = [int(n) for n in operands[1]]
    value = float(operands[2].item()) if len(operands) > 2 and operands[2] is not None else 0.0
    if a.get("mode", b"constant") != b"constant" or len(pads) != 8 or any(pads[i] for i in (0, 1, 4, 5)):
        raise ValueError("only padding of rows and columns by a constant converts")
    return Pad(((pads[2], pads[6]), (pads[3], pads[7])), value), {}


def _flatten(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    if a.get("axis", 1) != 1:
        raise ValueError("only a flattening of all axes but the images' converts")
    return (None if len(shape) == 1 else Flatten()), {}


def _times_sigmoid(graph: Graph, names: list[str]) -> list[str]:
    """What x is in the ``x * sigmoid(x)`` that SiLU is for exporters."""
    for x, other in (names, names[::-1]):
        if isinstance(graph.nodes[other].layer, Sigmoid) and list(graph.nodes[other].inputs) == [x]:
            return [x]
    raise ValueError("a product of two tensors does not convert, but x * sigmoid(x)")


def _scalar(operands: Sequence[Any]) -> float | None:
    """The one number among the operands, if that is all there is besides a tensor."""
    constants = [operand for operand in operands if operand is not None]
    if any(np.size(constant) != 1 for constant in constants):
        raise ValueError("a constant for each channel does not convert; export with it in the layer before it")
    return float(constants[0].item()) if constants else None


def _layer_norm(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    if a.get("axis", -1) not in (-1, len(shape)) or operands[1] is None:
        raise ValueError("a layer normalization converts over the last axis only, with a constant scale")
    beta = operands[2] if len(operands) > 2 and operands[2] is not None else 0 * operands[1]
    return LayerNorm(a.get("epsilon", 1e-5)), {"gamma": operands[1], "beta": beta}


def _clip(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    low, high, *_ = (*operands[1:], None, None) if len(operands) > 1 else (a.get("min"), a.get("max"))  # opset 6
    if (low, high) != (0, 6):
        raise ValueError(f"limits of {low} and {high} do not convert, only those of a ReLU6, 0 and 6")
    return ReLU6(), {}


def _swish(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    if a.get("alpha", 1.0) != 1:
        raise ValueError(f"alpha={a['alpha']} does not convert, only 1")
    return SiLU(), {}


def _add(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    offset = _scalar(operands)
    return (Merge("add") if offset is None else Rescaling(1.0, offset)), {}


def _multiply(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    return Rescaling(_scalar(operands) or 0.0), {}


def _concat(a: dict[str, Any], operands: Sequence[Any], shape: Shape) -> Converted:
    if a["axis"] not in (1, -3):
        raise ValueError("only channels are concatenated")
    return Merge("concat"), {}


def _target(shape: Any) -> list[int]:
    if shape is None or len(shape) not in (2, 4) or shape[0] not in (-1, 0) and shape[1] != -1:
        raise ValueError("its shape is computed, or none of (images, ...); export with a fixed image size")
    return [int(n) for n in shape[1:]]


def _reshape(target: list[int], channels_first: bool) -> Layer:
    if len(target) == 1:
        return Flatten()
    return Reshape((*target[1:], target[0]) if channels_first else tuple(target))


_CONVERTERS: dict[str, Callable[..., Converted]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _gemm,
    "BatchNormalization": _norm,
    "MaxPool": _pool(MaxPool2D),
    "AveragePool": _pool(AveragePool2D),
    "GlobalAveragePool": lambda a, operands, shape: (GlobalAveragePool2D(keepdims=True), {}),
    "GlobalMaxPool": lambda a, operands, shape: (GlobalMaxPool2D(keepdims=True), {}),
    "LayerNormalization": _layer_norm,
    "ReduceMean": _mean,
    "Softmax": _softmax,
    "Resize": _resize,
    "Pad": _pad,
    "Flatten": _flatten,
    "Add": _add,
    "Sum": _add,
    "Concat": _concat,
    "Mul": _multiply,
    "Identity": lambda a, operands, shape: (None, {}),
    "Dropout": lambda a, operands, shape: (
        Dropout(float(operands[1].item()) if len(operands) > 1 and operands[1] is not None else 0.5),
        {},
    ),
    "Elu": lambda a, operands, shape: (ELU(a.get("alpha", 1.0)), {}),
    "Gelu": lambda a, operands, shape: (GELU(a.get("approximate", b"none") == b"tanh"), {}),
    "Softplus": lambda a, operands, shape: (Softplus(), {}),
    "Swish": _swish,
    "Relu": lambda a, operands, shape: (ReLU(), {}),
    "Clip": _clip,
    "LeakyRelu": lambda a, operands, shape: (LeakyReLU(a.get("alpha", 0.01)), {}),
    "Sigmoid": lambda a, operands, shape: (Sigmoid(), {}),
    "Tanh": lambda a, operands, shape: (Tanh(), {}),
}
