"""A `Sequential` to an ONNX file."""

import os
from typing import Any, NamedTuple

import numpy as np

from tinycnn.files import PathLike, atomic_write
from tinycnn.interop.graph import check_built, crops_of, sides_of
from tinycnn.interop.peers import peer
from tinycnn.layers.activation import LeakyReLU, ReLU, ReLU6, Sigmoid, Softmax, Tanh
from tinycnn.layers.augmentation import Augmentation
from tinycnn.layers.base import Layer
from tinycnn.layers.block import Block
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.global_max import GlobalMaxPool2D
from tinycnn.layers.layer_norm import LayerNorm
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.padding import check_padding
from tinycnn.layers.parallel import Parallel
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.rescaling import Rescaling
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.smooth import ELU, GELU, SiLU, Softplus
from tinycnn.layers.upsample import UpSample2D
from tinycnn.layers.zero_padding import ZeroPadding2D
from tinycnn.model import Sequential

OPSET = 24  # of ONNX operators; ONNX Runtime of 2025 runs it
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class _Written(NamedTuple):
    """What has been written: operations, constants, and how to make more."""

    helper: Any  # onnx.helper
    nodes: list[Any]
    constants: dict[str, np.ndarray]

    def operation(self, kind: str, name: str, inputs: list[str], **attributes: Any) -> str:
        """Name of what the operation gives."""
        output = f"{name}:0"
        self.nodes.append(self.helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.array(value, order="C")
        return name


def to_onnx(model: Sequential, path: PathLike) -> None:
    """Write `model` as an ONNX file, for ONNX Runtime and whatever else reads the format.

    Its one input, ``images``, takes what the model takes: float images in NHWC, any number of them.  Its one output,
    ``scores``, is what `Sequential.forward` gives.  The file is checked before it gets its name.

    Parameters
    ----------
    model : Sequential
        Built.
    path : path
        Ends in ``.onnx`` by custom.

    Raises
    ------
    ImportError
        If onnx is not installed.
    ValueError
        For a model that is not built, and naming a layer that does not convert.
    OSError
        If `path` cannot be written.

    References
    ----------
    https://onnx.ai/onnx/operators

    Examples
    --------
    >>> import pytest, tempfile, pathlib
    >>> onnx = pytest.importorskip("onnx")
    >>> model = Sequential([Conv2D(2, 3, activation="relu"), Flatten(), Dense(3)])
    >>> model.build((5, 5, 1))
    (3,)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.onnx"
    >>> to_onnx(model, path)
    >>> [node.op_type for node in onnx.load(path).graph.node]
    ['Transpose', 'Conv', 'Relu', 'Transpose', 'Reshape', 'Gemm']
    """
    onnx = peer("onnx", "to_onnx")
    check_built(model, "to_onnx")
    helper, kind = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype(model.dtype)
    written, x = _Written(helper, [], {}), "images"
    if len(model.input_shape) == 3:
        x = written.operation("Transpose", "images/channels_first", [x], perm=TO_CHANNELS_FIRST)
    for layer in model.layers:
        x = _write(written, layer, x)
    if len(model.output_shape) == 3:
        x = written.operation("Transpose", "scores", [x], perm=TO_CHANNELS_LAST)
    elif x == "images":
        x = written.operation("Identity", "scores", [x])
    written.nodes[-1].output[0] = "scores"
    graph = helper.make_graph(
        written.nodes,
        model.name or "model",
        [helper.make_tensor_value_info("images", kind, ["images", *model.input_shape])],
        [helper.make_tensor_value_info("scores", kind, ["images", *model.output_shape])],
        [onnx.numpy_helper.from_array(array, name) for name, array in written.constants.items()],
    )
    opsets = [helper.make_opsetid("", min(OPSET, onnx.defs.onnx_opset_version()))]
    proto = helper.make_model(graph, opset_imports=opsets, producer_name="tinycnn")
    proto.ir_version = helper.find_min_ir_version_for(opsets)  # so that older readers take it
    with atomic_write(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(proto.SerializeToString())
        onnx.checker.check_model(os.fspath(temporary), full_check=True)


def _write(to: _Written, layer: Any, x: str) -> str:
    """Operations of `layer`, its activation included; images are in NCHW."""
    name = str(layer.name)
    if isinstance(layer, Block):
        ends = []
        for path in layer.paths:
            y = x
            for part in path:
                y = _write(to, part, y)
            ends.append(y)
        if len(ends) > 1:
            concat = isinstance(layer, Parallel) and layer.merge == "concat"
            y = to.operation("Concat", name, ends, axis=1) if concat else to.operation("Sum", name, ends)
    else:
        y = _write_linear(to, layer, name, x)
    return y if layer.activation is None else _write(to, layer.activation, y)


def _write_linear(to: _Written, layer: Any, name: str, x: str) -> str:
    """`layer` without its activation."""

    def weight(key: str, axes: tuple[int, ...] = (0,)) -> str:
        return to.constant(f"{name}/{key}", (layer.params | layer.state)[key].transpose(axes))

    def bias() -> list[str]:
        return [weight("bias")] if layer.use_bias else []

    if isinstance(layer, Dense):
        return to.operation("Gemm", name, [x, weight("kernel", (0, 1)), *bias()])
    if isinstance(layer, Conv2D):
        attributes = _windows(layer.kernel_size, layer.strides, sides_of(layer, layer.input_shape))
        attributes |= {"dilations": layer.dilation_rate, "group": layer.groups}
        return to.operation("Conv", name, [x, weight("kernel", (3, 2, 0, 1)), *bias()], **attributes)
    if isinstance(layer, Conv2DTranspose):
        crops = crops_of(layer, layer.input_shape)
        cut = tuple(tuple(max(0, n) for n in side) for side in crops)
        attributes = _windows(layer.kernel_size, layer.strides, cut)
        attributes |= {"output_padding": [max(0, -end) for _, end in crops]}
        return to.operation("ConvTranspose", name, [x, weight("kernel", (3, 2, 0, 1)), *bias()], **attributes)
    if isinstance(layer, BatchNorm):
        inputs = [x, *map(weight, ("gamma", "beta", "moving_mean", "moving_variance"))]
        return to.operation("BatchNormalization", name, inputs, epsilon=layer.epsilon, momentum=layer.momentum)
    if isinstance(layer, (MaxPool2D, AveragePool2D)):
        attributes = _windows(layer.pool_size, layer.strides, sides_of(layer, layer.input_shape))
        return to.operation("MaxPool" if isinstance(layer, MaxPool2D) else "AveragePool", name, [x], **attributes)
    if isinstance(layer, LayerNorm):
        inputs, image = [weight("gamma"), weight("beta")], len(layer.input_shape) == 3
        x = to.operation("Transpose", f"{name}/channels_last", [x], perm=TO_CHANNELS_LAST) if image else x
        x = to.operation("LayerNormalization", name, [x, *inputs], axis=-1, epsilon=layer.epsilon)
        return to.operation("Transpose", f"{name}/channels_first", [x], perm=TO_CHANNELS_FIRST) if image else x
    if isinstance(layer, ZeroPadding2D):
        sides: Any = check_padding(layer.padding, "ZeroPadding2D")
        pads = [0, 0, *(before for before, _ in sides), 0, 0, *(after for _, after in sides)]
        return to.operation("Pad", name, [x, to.constant(f"{name}/pads", np.array(pads))])
    if isinstance(layer, Rescaling):
        numbers = np.array([layer.scale, layer.offset], layer.dtype)
        x = to.operation("Mul", f"{name}/scaled", [x, to.constant(f"{name}/scale", numbers[0])])
        return to.operation("Add", name, [x, to.constant(f"{name}/offset", numbers[1])])
    if isinstance(layer, (GlobalAveragePool2D, GlobalMaxPool2D)):
        kind = "GlobalAveragePool" if isinstance(layer, GlobalAveragePool2D) else "GlobalMaxPool"
        y = to.operation(kind, name, [x])
        return y if layer.keepdims else to.operation("Flatten", f"{name}/flat", [y])
    if isinstance(layer, (Flatten, Reshape)):
        return _write_reshape(to, layer, name, x)
    if isinstance(layer, UpSample2D):
        modes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        if layer.interpolation == "nearest":
            modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return to.operation(
            "Resize", name, [x, "", to.constant(f"{name}/scales", np.array([1, 1, *layer.size], np.float32))], **modes
        )
    if isinstance(layer, Dropout):
        rate = to.constant(f"{name}/rate", np.float32(layer.rate))
        return to.operation("Dropout", name, [x, rate])
    if isinstance(layer, ReLU6):
        limits = [to.constant(f"{name}/{key}", np.array(n, layer.dtype)) for key, n in (("min", 0), ("max", 6))]
        return to.operation("Clip", name, [x, *limits])
    if isinstance(layer, LeakyReLU):
        return to.operation("LeakyRelu", name, [x], alpha=layer.negative_slope)
    if isinstance(layer, ELU):
        return to.operation("Elu", name, [x], alpha=layer.alpha)
    if isinstance(layer, GELU):
        return to.operation("Gelu", name, [x], approximate="tanh" if layer.approximate else "none")
    if isinstance(layer, SiLU):
        return to.operation("Mul", name, [x, to.operation("Sigmoid", f"{name}/sigmoid", [x])])
    if isinstance(layer, Softmax):
        return to.operation("Softmax", name, [x], axis=1)
    operators: dict[type[Layer], str] = {
        Augmentation: "Identity",  # in inference
        ReLU: "Relu",
        Sigmoid: "Sigmoid",
        Softplus: "Softplus",
        Tanh: "Tanh",
    }
    if type(layer) not in operators:
        raise ValueError(f"to_onnx: {layer.where()} has no counterpart in ONNX; replace it, or convert without it")
    return to.operation(operators[type(layer)], name, [x])


def _windows(size: Any, strides: Any, sides: Any) -> dict[str, Any]:
    return {"kernel_shape": size, "strides": strides, "pads": [side[i] for i in (0, 1) for side in sides]}


def _write_reshape(to: _Written, layer: Layer, name: str, x: str) -> str:
    """Through NHWC, in whose order tinycnn reads an image."""
    if len(layer.input_shape) == 3:
        x = to.operation("Transpose", f"{name}/channels_last", [x], perm=TO_CHANNELS_LAST)
    shape = to.constant(f"{name}/shape", np.array([-1, *layer.output_shape]))
    y = to.operation("Reshape", name, [x, shape])
    if len(layer.output_shape) == 3:
        y = to.operation("Transpose", f"{name}/channels_first", [y], perm=TO_CHANNELS_FIRST)
    return y
