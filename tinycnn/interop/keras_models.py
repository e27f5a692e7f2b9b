"""Keras: a Sequential or functional model in, a functional model out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.interop.graph import Graph, Merge, Pad, check_built, crops_of, sides_of
from tinycnn.interop.peers import peer
from tinycnn.layers.activation import LeakyReLU, ReLU, ReLU6, Sigmoid, Softmax, Tanh, get
from tinycnn.layers.augmentation import Augmentation
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.block import Block
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.depthwise import SeparableConv2D
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
from tinycnn.layers.weighted import Weighted
from tinycnn.layers.zero_padding import ZeroPadding2D
from tinycnn.model import Sequential
from tinycnn.regularizers import L1L2

if TYPE_CHECKING:
    import keras

Converted = tuple[Layer | Pad | Merge | None, dict[str, Any]]  # the latter: Keras's variables


def from_keras(model: "keras.Model") -> Sequential:
    """A `Sequential` that computes what a Keras model computes, with its weights.

    Layers may stand in a row, and branches that fork and are added or concatenated again become `Residual` or
    `Parallel`; models inside the model are opened.  L1 and L2 penalties come along.  Both libraries keep
    images in NHWC and kernels in HWIO, so every weight stays as it is.

    Parameters
    ----------
    model : keras.Sequential or functional keras.Model
        Built, with one input and one output.

    Returns
    -------
    Sequential
        Built.

    Raises
    ------
    ImportError
        If keras is not installed.
    ValueError
        Naming the layer that does not convert, and what to do.

    Examples
    --------
    >>> import keras                                                               # doctest: +SKIP
    >>> from_keras(keras.applications.VGG16(weights="imagenet")).predict(images)   # doctest: +SKIP
    """
    keras = peer("keras", "from_keras")
    if not getattr(model, "inputs", None) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError("from_keras: only a built Sequential or functional model of one input and one output converts")
    graph = Graph("from_keras", "input", tuple(model.inputs[0].shape[1:]))
    if None in graph.input_shape or not graph.input_shape:
        raise ValueError(f"from_keras: the input's shape {graph.input_shape} is not fixed; give it keras.Input(shape)")
    output = _walk(keras, graph, model, "input")
    double = model.weights and model.weights[0].dtype == "float64"
    return graph.sequential(output, np.float64 if double else np.float32, name=model.name)


def _walk(keras: Any, graph: Graph, model: Any, entry: str) -> str:
    """Add the layers of `model`, fed by `entry`; the key of what it gives."""
    converters = _converters(keras.layers)
    row = isinstance(model, keras.Sequential)
    keys, last = {id(model.inputs[0]): entry}, entry
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        given = [] if row else layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
        output = None if row else layer.output
        names = [last] if row else [keys.get(id(tensor), tensor.name) for tensor in given]
        if isinstance(layer, keras.Model):
            last = _walk(keras, graph, layer, names[0])
        else:
            last = _add(graph, converters, layer, names)
        keys[id(output)] = last
    if not row and id(model.outputs[0]) not in keys:
        graph.cannot(last, "a layer that is called twice shares its weights, which does not convert")
    return last if row else keys[id(model.outputs[0])]


def _add(graph: Graph, converters: Any, layer: Any, names: list[str]) -> str:
    """Add one layer and its activation; the key of the latter."""
    kind = next((kind for kind in type(layer).__mro__ if kind in converters), None)
    try:
        if kind is None:
            known = ", ".join(sorted(kind.__name__ for kind in converters))
            raise ValueError(f"a {type(layer).__name__} does not convert; {known} do")
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            raise ValueError("channels first do not convert; make it with data_format='channels_last'")
        for key in ("activity_regularizer", "beta_regularizer", "gamma_regularizer"):
            if getattr(layer, key, None) is not None:
                raise ValueError(f"{key} does not convert, which only training needs; set the layer's {key} to None")
        converted, variables = converters[kind](layer, graph.shapes.get(names[0], ()))
        activation = _activation(layer)
    except (ValueError, TypeError) as error:  # the latter from a Rescaling by a list
        graph.cannot(layer.name, str(error))
    weights = {key: np.asarray(variable) for key, variable in variables.items() if variable is not None}
    graph.add(layer.name, converted, names, weights)
    if activation is None:
        return layer.name
    graph.add(f"{layer.name}/{type(activation).__name__}", activation, [layer.name])
    return f"{layer.name}/{type(activation).__name__}"


def _activation(layer: Any) -> Layer | None:
    function = getattr(layer, "activation", None)
    return get(None if function is None else function.__name__)


def _converters(k: Any) -> dict[type, Callable[[Any, Shape], Converted]]:
    """By kind of layer: ``(layer, shape of its input) -> (layer, variables)``."""
    return {
        k.Conv2D: _conv,
        k.DepthwiseConv2D: _depthwise,
        k.Conv2DTranspose: _conv_transpose,
        k.SeparableConv2D: _separable,
        k.Dense: lambda m, shape: (Dense(m.units, **_bias_and_penalties(m)), _kernel(m)),
        k.LayerNormalization: _layer_norm,
        k.BatchNormalization: _norm,
        k.MaxPooling2D: lambda m, shape: (MaxPool2D(m.pool_size, m.strides, m.padding), {}),
        k.AveragePooling2D: lambda m, shape: (AveragePool2D(m.pool_size, m.strides, m.padding), {}),
        k.GlobalAveragePooling2D: lambda m, shape: (GlobalAveragePool2D(m.keepdims), {}),
        k.GlobalMaxPooling2D: lambda m, shape: (GlobalMaxPool2D(m.keepdims), {}),
        k.Flatten: lambda m, shape: (Flatten(), {}),
        k.Reshape: lambda m, shape: (Reshape(tuple(m.target_shape)), {}),
        k.UpSampling2D: lambda m, shape: (UpSample2D(tuple(m.size), m.interpolation), {}),
        k.ZeroPadding2D: lambda m, shape: (Pad(m.padding), {}),
        k.Cropping2D: lambda m, shape: (Pad(tuple(tuple(-n for n in side) for side in m.cropping)), {}),  # type: ignore[arg-type]
        k.Dropout: lambda m, shape: (Dropout(m.rate), {}),
        k.Activation: lambda m, shape: (None, {}),
        k.Identity: lambda m, shape: (None, {}),
        k.Rescaling: lambda m, shape: (Rescaling(float(m.scale), float(m.offset)), {}),
        k.ELU: lambda m, shape: (ELU(float(m.alpha)), {}),
        k.ReLU: _relu,
        k.LeakyReLU: lambda m, shape: (LeakyReLU(float(m.negative_slope)), {}),
        k.Softmax: _softmax,
        k.Add: lambda m, shape: (Merge("add"), {}),
        k.Concatenate: lambda m, shape: (Merge("concat"), {}),
    }


def _kernel(m: Any) -> dict[str, Any]:
    return {"kernel": m.kernel, "bias": m.bias}


def _penalty(regularizer: Any) -> L1L2 | None:
    config = {} if regularizer is None else regularizer.get_config()
    if not config.keys() <= {"l1", "l2"}:
        raise ValueError(f"a {type(regularizer).__name__} does not convert; only L1, L2 and L1L2 do")
    return L1L2(**{key: float(value) for key, value in config.items()}) if config else None


def _bias_and_penalties(m: Any, kernel: str = "kernel") -> dict[str, Any]:
    """Those arguments that layers with a kernel share; `kernel` is what Keras calls it."""
    penalties = {"kernel": _penalty(getattr(m, f"{kernel}_regularizer")), "bias": _penalty(m.bias_regularizer)}
    return {"use_bias": m.use_bias} | {f"{key}_regularizer": penalty for key, penalty in penalties.items()}


def _conv(m: Any, shape: Shape) -> Converted:
    sizes = (m.filters, m.kernel_size, m.strides, m.padding, m.dilation_rate, m.groups)
    return Conv2D(*sizes, **_bias_and_penalties(m)), _kernel(m)


def _depthwise(m: Any, shape: Shape) -> Converted:
    rows, columns, channels, multiplier = m.kernel.shape
    filters = channels * multiplier
    sizes = (filters, m.kernel_size, m.strides, m.padding, m.dilation_rate, channels)
    layer = Conv2D(*sizes, **_bias_and_penalties(m, "depthwise"))
    return layer, {"kernel": np.reshape(m.kernel, (rows, columns, 1, filters)), "bias": m.bias}


def _separable(m: Any, shape: Shape) -> Converted:
    if _penalty(m.depthwise_regularizer) != _penalty(m.pointwise_regularizer):
        raise ValueError("its two kernels have different regularizers, which does not convert")
    rows, columns, channels, multiplier = m.depthwise_kernel.shape
    sizes = (m.filters, m.kernel_size, m.strides, m.padding, m.depth_multiplier, m.dilation_rate)
    depthwise = np.reshape(m.depthwise_kernel, (rows, columns, 1, channels * multiplier))
    return SeparableConv2D(*sizes, **_bias_and_penalties(m, "pointwise")), {
        "depthwise_conv2d/kernel": depthwise,
        "conv2d/kernel": m.pointwise_kernel,
        "conv2d/bias": m.bias,
    }


def _layer_norm(m: Any, shape: Shape) -> Converted:
    axis = m.axis if isinstance(m.axis, (list, tuple)) else [m.axis]
    if list(axis) not in ([-1], [len(shape)]) or m.rms_scaling:
        raise ValueError(
            f"axis={m.axis}, rms_scaling={m.rms_scaling} do not convert, only the channels' axis at the end"
        )
    gamma, beta = m.gamma if m.scale else np.ones(shape[-1]), m.beta if m.center else np.zeros(shape[-1])
    return LayerNorm(m.epsilon), {"gamma": gamma, "beta": beta}


def _conv_transpose(m: Any, shape: Shape) -> Converted:
    if m.output_padding is not None or tuple(m.dilation_rate) != (1, 1):
        raise ValueError("output_padding and dilation_rate of a transposed convolution do not convert; leave them out")
    sizes = (m.filters, m.kernel_size, m.strides, m.padding)
    return Conv2DTranspose(*sizes, **_bias_and_penalties(m)), _kernel(m)


def _norm(m: Any, shape: Shape) -> Converted:
    if m.axis not in (-1, len(shape)):
        raise ValueError(f"axis={m.axis} does not convert, only the channels' at the end")
    mean = np.asarray(m.moving_mean)
    gamma, beta = m.gamma if m.scale else np.ones_like(mean), m.beta if m.center else np.zeros_like(mean)
    state = {"moving_mean": mean, "moving_variance": m.moving_variance}
    return BatchNorm(m.momentum, m.epsilon), {"gamma": gamma, "beta": beta, **state}


def _relu(m: Any, shape: Shape) -> Converted:
    if m.threshold or m.max_value is not None and (m.max_value != 6 or m.negative_slope):
        raise ValueError("threshold and max_value do not convert, but max_value=6 alone; leave them out")
    return (LeakyReLU(float(m.negative_slope)) if m.negative_slope else ReLU6() if m.max_value else ReLU()), {}


def _softmax(m: Any, shape: Shape) -> Converted:
    if m.axis not in (-1, len(shape)):
        raise ValueError(f"axis={m.axis} does not convert, only the channels' at the end")
    return Softmax(), {}


def to_keras(model: Sequential) -> "keras.Model":
    """A functional Keras model that computes what `model` computes, with its weights.

    Parameters
    ----------
    model : Sequential
        Built.

    Returns
    -------
    keras.Model
        Not compiled; in the model's dtype.

    Raises
    ------
    ImportError
        If keras is not installed.
    ValueError
        For a model that is not built, and naming a layer that does not convert.

    Examples
    --------
    >>> to_keras(Sequential.load("model.npz")).save("model.keras")    # doctest: +SKIP
    """
    keras = peer("keras", "to_keras")
    check_built(model, "to_keras")
    x = start = keras.Input(model.input_shape, dtype=model.dtype.name)
    for layer in model.layers:
        x = _applied(keras.layers, layer, x)
    return keras.Model(start, x, name=model.name)


def _applied(k: Any, layer: Any, x: Any) -> Any:
    """What Keras's layers in the place of `layer` give for `x`."""
    if isinstance(layer, Block):
        ends = []
        for path in layer.paths:
            y = x
            for part in path:
                y = _applied(k, part, y)
            ends.append(y)
        if len(ends) > 1:
            concat = isinstance(layer, Parallel) and layer.merge == "concat"
            y = (k.Concatenate if concat else k.Add)(dtype=layer.dtype.name)(ends)
    else:
        y = x
        for part in _layers(k, layer):
            y = part(y)
            if part.name == _name(layer) and part.weights:
                weights = layer.params | layer.state
                order = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
                part.set_weights([weights[key] for key in order if key in weights])
                part.trainable = layer.trainable
    return y if layer.activation is None else _applied(k, layer.activation, y)


def _name(layer: Any) -> str:
    return str(layer.name).replace("/", "_")


def _layers(k: Any, layer: Any) -> list[Any]:
    """Keras's layers, weights not yet set: `layer` without its activation."""
    own: dict[str, Any] = {"name": _name(layer), "dtype": layer.dtype.name}
    other = {"dtype": layer.dtype.name}
    if isinstance(layer, Weighted):
        own["use_bias"] = layer.use_bias
        for key, penalty in layer.regularizers.items():
            own[f"{key}_regularizer"] = {"class_name": "L1L2", "config": penalty.config()}
    if isinstance(layer, Dense):
        return [k.Dense(layer.units, **own)]
    if isinstance(layer, Conv2D):
        numbers = not isinstance(layer.padding, str)
        first = [k.ZeroPadding2D(sides_of(layer, layer.input_shape), **other)] if numbers else []
        options = {"dilation_rate": layer.dilation_rate, "groups": layer.groups}
        padding = "valid" if numbers else layer.padding
        return [*first, k.Conv2D(layer.filters, layer.kernel_size, layer.strides, padding, **options, **own)]
    if isinstance(layer, Conv2DTranspose):
        sizes = (layer.filters, layer.kernel_size, layer.strides)
        if isinstance(layer.padding, str):
            return [k.Conv2DTranspose(*sizes, padding=layer.padding, **own)]
        more = [max(0, s - n) for s, n in zip(layer.strides, layer.kernel_size, strict=True)]
        sides = crops_of(layer, layer.input_shape)
        crops = tuple((before, after + m) for (before, after), m in zip(sides, more, strict=True))
        return [
            k.Conv2DTranspose(*sizes, padding="valid", **own),
            k.Cropping2D(crops, **other),
        ]
    if isinstance(layer, BatchNorm):
        return [k.BatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon, **own)]
    if isinstance(layer, (MaxPool2D, AveragePool2D)):
        kind = k.MaxPooling2D if isinstance(layer, MaxPool2D) else k.AveragePooling2D
        return [kind(layer.pool_size, layer.strides, _pool_padding(layer), **own)]
    if isinstance(layer, LayerNorm):
        return [k.LayerNormalization(epsilon=layer.epsilon, **own)]
    if isinstance(layer, (GlobalAveragePool2D, GlobalMaxPool2D)):
        kind = k.GlobalMaxPooling2D if isinstance(layer, GlobalMaxPool2D) else k.GlobalAveragePooling2D
        return [kind(keepdims=layer.keepdims, **own)]
    if isinstance(layer, ZeroPadding2D):
        return [k.ZeroPadding2D(check_padding(layer.padding, "ZeroPadding2D"), **own)]
    if isinstance(layer, Rescaling):
        return [k.Rescaling(layer.scale, layer.offset, **own)]
    if isinstance(layer, Reshape):
        return [k.Reshape(layer.output_shape, **own)]
    if isinstance(layer, UpSample2D):
        return [k.UpSampling2D(layer.size, interpolation=layer.interpolation, **own)]
    if isinstance(layer, Dropout):
        return [k.Dropout(layer.rate, **own)]
    if isinstance(layer, LeakyReLU):
        return [k.LeakyReLU(negative_slope=layer.negative_slope, **own)]
    if isinstance(layer, ELU):
        return [k.ELU(layer.alpha, **own)]
    if isinstance(layer, (Augmentation, Flatten)):
        return [k.Flatten(**own) if isinstance(layer, Flatten) else k.Identity(**own)]
    functions: dict[type[Layer], str] = {ReLU: "relu", Sigmoid: "sigmoid", Tanh: "tanh", Softmax: "softmax"}
    functions |= {ReLU6: "relu6", GELU: "gelu", SiLU: "silu", Softplus: "softplus"}
    if type(layer) not in functions or isinstance(layer, GELU) and layer.approximate:
        raise ValueError(f"to_keras: {layer.where()} has no counterpart in Keras; replace it, or convert without it")
    return [k.Activation(functions[type(layer)], **own)]


def _pool_padding(layer: Any) -> str:
    """Keras's word for the padding; cells outside count for nothing, only where windows begin and how many they are."""
    same = type(layer)(layer.pool_size, layer.strides, "same")
    if isinstance(layer.padding, str):
        return layer.padding
    begins = [before for before, _ in sides_of(layer, layer.input_shape)]
    if begins == [before for before, _ in sides_of(same, layer.input_shape)]:
        if layer.output_shape == same.output_shape_of(layer.input_shape):
            return "same"
    if not np.any(layer.padding):
        return "valid"
    raise ValueError(f'to_keras: {layer.where()}: Keras pools with "valid" or "same" only, not {layer.padding}')
