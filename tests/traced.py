"""Two networks with every kind of layer, and their numbers by `tinycnn.reference` alone, for the tests of tracing."""

import math

import numpy as np

from tinycnn import reference
from tinycnn.layers import GlobalMaxPool2D, Rescaling
from tinycnn.layers.activation import ELU, GELU, LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Softplus, Tanh
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.depthwise import DepthwiseConv2D, SeparableConv2D
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.layer_norm import LayerNorm
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.parallel import Parallel
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.residual import Residual
from tinycnn.layers.upsample import UpSample2D
from tinycnn.layers.zero_padding import ZeroPadding2D
from tinycnn.model import Sequential

SHAPE = (13, 8, 3)


def every_layer(dtype=np.float64, seed=0):
    """Built, with random weights and moving statistics."""
    model = Sequential(
        [
            Conv2D(16, 3, padding="same", activation="relu"),  # one step with the pool behind it
            MaxPool2D(2),
            Conv2D(16, 3, padding=((1, 0), (2, 1)), strides=(1, 2), dilation_rate=(2, 1), groups=4, activation="tanh"),
            BatchNorm(),
            ReLU(),
            Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu"),
            Conv2DTranspose(5, (2, 3), strides=(1, 3), padding=((1, 0), (0, 1)), use_bias=False),
            Residual([Conv2D(5, 3, padding="same", activation="leaky_relu"), BatchNorm()], activation="sigmoid"),
            Residual([Conv2D(4, 3, strides=2, padding="same")], shortcut=[Conv2D(4, 1, strides=2)]),
            Tanh(),
            UpSample2D((2, 3), interpolation="bilinear"),
            MaxPool2D(3, strides=2, padding=1),
            UpSample2D((2, 1)),
            AveragePool2D((3, 2), strides=(1, 3), padding="same"),
            LeakyReLU(0.25),
            Dropout(0.4),
            Sigmoid(),
            Conv2D(6, 2),
            GlobalAveragePool2D(keepdims=True),
            Reshape((2, 3)),
            Flatten(),
            Dense(7, activation="sigmoid"),
            Dense(3, activation="softmax"),
        ],
        seed=seed,
    )
    return _with_random_weights(model, dtype, seed)


def other_layers(dtype=np.float64, seed=0):
    """The kinds that `every_layer` has not: paths that fork and meet, and smooth activations."""
    model = Sequential(
        [
            Rescaling(2.0, -0.5),
            ZeroPadding2D(((1, 0), (2, 1))),
            DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="elu"),
            LayerNorm(),
            Parallel(
                [[], [Conv2D(3, 3, padding="same", activation="gelu"), LayerNorm()], AveragePool2D(3, 1, "same")],
                activation="silu",
            ),
            SeparableConv2D(4, (3, 4), activation="softplus"),
            Parallel([Conv2D(5, 1), [SeparableConv2D(5, 3, padding="same"), ELU(0.5)]], merge="add"),
            Parallel([[], Conv2D(5, 1, activation="elu"), LayerNorm()], merge="add"),
            Parallel([[], [MaxPool2D(2), ReLU6(), Parallel([GELU(approximate=True), SiLU()]), UpSample2D(2)]]),
            Softplus(),
            Parallel([GlobalMaxPool2D(keepdims=True), GlobalAveragePool2D(keepdims=True)]),
            Flatten(),
            LayerNorm(),
            Dense(6, activation=GELU()),
            Dense(3),
        ],
        seed=seed,
    )
    return _with_random_weights(model, dtype, seed)


def _with_random_weights(model, dtype, seed):
    model.build(SHAPE, dtype)
    rng = np.random.default_rng(seed)
    weights = {key: rng.normal(0.1, 0.4, value.shape) for key, value in model.get_weights().items()}
    for key in weights:
        if key.endswith("moving_variance"):
            weights[key] = np.abs(weights[key]) + 0.5
    model.set_weights(weights)
    return model


def batch(dtype=np.float64, n=3, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, *SHAPE)).astype(dtype), rng.integers(0, 3, n)


def expected(trace, layer, dropout_key=None):
    """What a record should hold, given its `input` and `grad_output`: the other four arrays, and grads."""
    record = trace[layer.name]
    if isinstance(layer, Dropout):
        x, grad = record.input, record.grad_output
        dropped = [reference.dropout(a, dropout_key, layer.rate) if trace.training else a for a in (x, grad)]
        return dropped[0], dropped[0], grad, dropped[1], {}
    linear, back = KINDS[type(layer)]
    z = linear(trace, layer, record)
    if layer.activation is None:
        y, grad = z, record.grad_output
    else:
        y = KINDS[type(layer.activation)][0](trace, layer.activation, trace[layer.activation.name])
        if record.grad_output is None:
            grad = record.grad_pre_activation  # given by the loss
        else:
            grad = _bend_back(layer.activation, z, y, record.grad_output)
    grad_x, grads = back(trace, layer, record, grad)
    return z, y, grad, grad_x, grads


def _padding(layer, shape, window, dilation=(1, 1)):
    if layer.padding == "valid":
        return ((0, 0), (0, 0))
    if layer.padding == "same":
        return tuple(
            reference.same_padding(*axis) for axis in zip(shape[:2], window, layer.strides, dilation, strict=True)
        )
    pads = (layer.padding, layer.padding) if isinstance(layer.padding, int) else layer.padding
    return tuple((p, p) if isinstance(p, int) else p for p in pads)


def _conv_arguments(layer):
    pads = _padding(layer, layer.input_shape, layer.kernel_size, layer.dilation_rate)
    return layer.strides, pads, layer.dilation_rate, layer.groups


def _conv(trace, layer, record):
    return reference.conv2d_forward(
        record.input, record.params["kernel"], record.params.get("bias"), *_conv_arguments(layer)
    )


def _conv_back(trace, layer, record, grad):
    grad_x, kernel, bias = reference.conv2d_backward(
        record.input, record.params["kernel"], grad, *_conv_arguments(layer)
    )
    return grad_x, {"kernel": kernel} | ({"bias": bias} if layer.use_bias else {})


def _transposed(trace, layer, record):
    pads = _padding(layer, layer.output_shape, layer.kernel_size)
    empty = np.zeros((len(record.input), *layer.output_shape))
    y, _, _ = reference.conv2d_backward(empty, record.params["kernel"], record.input, layer.strides, pads)
    return y + record.params.get("bias", 0)


def _transposed_back(trace, layer, record, grad):
    pads = _padding(layer, layer.output_shape, layer.kernel_size)
    _, kernel, _ = reference.conv2d_backward(grad, record.params["kernel"], record.input, layer.strides, pads)
    grads = {"kernel": kernel} | ({"bias": grad.sum(axis=(0, 1, 2))} if layer.use_bias else {})
    return reference.conv2d_forward(grad, record.params["kernel"], None, layer.strides, pads), grads


def _dense(trace, layer, record):
    return reference.dense_forward(record.input, record.params["kernel"], record.params["bias"])


def _dense_back(trace, layer, record, grad):
    grad_x, kernel, bias = reference.dense_backward(record.input, record.params["kernel"], grad)
    return grad_x, {"kernel": kernel, "bias": bias}


def _pool_arguments(layer):
    return layer.pool_size, layer.strides, _padding(layer, layer.input_shape, layer.pool_size)


def _max(trace, layer, record):
    return reference.maxpool_forward(record.input, *_pool_arguments(layer))[0]


def _max_back(trace, layer, record, grad):
    codes = reference.maxpool_forward(record.input, *_pool_arguments(layer))[1]
    return reference.maxpool_backward(grad, codes, record.input.shape, *_pool_arguments(layer)), {}


def _average(trace, layer, record):
    return reference.avgpool_forward(record.input, *_pool_arguments(layer))


def _average_back(trace, layer, record, grad):
    return reference.avgpool_backward(grad, record.input.shape, *_pool_arguments(layer)), {}


def _global(trace, layer, record):
    return record.input.mean(axis=(1, 2), keepdims=layer.keepdims)


def _global_back(trace, layer, record, grad):
    height, width, channels = layer.input_shape
    shared = grad.reshape(-1, 1, 1, channels) / (height * width)
    return np.broadcast_to(shared, record.input.shape), {}


def _norm(trace, layer, record):
    if trace.training and layer.trainable:
        return reference.batchnorm_forward(record.input, *record.params.values(), layer.epsilon)[0]
    return _moving(layer, record)[0] * record.params["gamma"] + record.params["beta"]


def _moving(layer, record):
    """Normalised input by the moving statistics, which a pass without training leaves alone."""
    inverse_std = 1 / np.sqrt(layer.state["moving_variance"] + layer.epsilon)
    return (record.input - layer.state["moving_mean"]) * inverse_std, inverse_std


def _norm_back(trace, layer, record, grad):
    if trace.training and layer.trainable:
        grad_x, gamma, beta = reference.batchnorm_backward(record.input, record.params["gamma"], grad, layer.epsilon)
        return grad_x, {"gamma": gamma, "beta": beta}
    normalised, inverse_std = _moving(layer, record)
    axes = tuple(range(grad.ndim - 1))
    grads = {"gamma": (grad * normalised).sum(axis=axes), "beta": grad.sum(axis=axes)}
    return grad * record.params["gamma"] * inverse_std, grads


def _enlarged(layer, x):
    """Axis by axis: pixels are areas, so output o has its centre at (o + 1/2) / factor - 1/2."""
    for axis, factor in enumerate(layer.size, 1):
        size = x.shape[axis]
        at = (np.arange(size * factor) + 0.5) / factor - 0.5
        if layer.interpolation == "nearest":
            x = np.take(x, np.round(at - 1e-9).astype(int).clip(0, size - 1), axis)
            continue
        low = np.floor(at).astype(int)
        share = np.expand_dims(at - low, [i for i in range(4) if i != axis])
        before, after = (np.take(x, np.clip(i, 0, size - 1), axis) for i in (low, low + 1))
        x = (1 - share) * before + share * after
    return x


def _upsample_back(trace, layer, record, grad):
    """The transpose, by the definition of one: the product with each unit image, enlarged."""
    height, width, _ = layer.input_shape
    grad_x = np.zeros(record.input.shape)
    for row, column in np.ndindex(height, width):
        unit = np.zeros((1, height, width, 1))
        unit[0, row, column] = 1
        grad_x[:, row, column] = np.einsum("nijc,ij->nc", grad, _enlarged(layer, unit)[0, :, :, 0])
    return grad_x, {}


def _layer_norm(layer, x):
    """Normalised channels of each pixel, and their standard deviation."""
    centred = x - x.mean(axis=-1, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + layer.epsilon)
    return centred / std, std


def _layer_norm_back(trace, layer, record, grad):
    """By each pixel's whole matrix of slopes, ``(channels, channels)``."""
    normalised, std = _layer_norm(layer, record.input)
    n = normalised.shape[-1]
    slopes = (np.eye(n) - 1 / n - normalised[..., :, None] * normalised[..., None, :] / n) / std[..., None]
    axes = tuple(range(grad.ndim - 1))
    grads = {"gamma": (grad * normalised).sum(axis=axes), "beta": grad.sum(axis=axes)}
    return np.einsum("...i,...ij->...j", grad * record.params["gamma"], slopes), grads


def _padded_back(trace, layer, record, grad):
    (top, _), (left, _) = layer.padding
    height, width, _ = layer.input_shape
    return grad[:, top : top + height, left : left + width], {}


def _global_max_back(trace, layer, record, grad):
    grad_x = np.zeros(record.input.shape)
    for image, channel in np.ndindex(len(grad), grad.shape[-1]):
        picture = record.input[image, :, :, channel]
        place = np.unravel_index(picture.argmax(), picture.shape)
        grad_x[(image, *place, channel)] = grad[image, ..., channel].item()
    return grad_x, {}


def _parallel(trace, layer, record):
    given = [trace[branch[-1].name].output if branch else record.input for branch in layer.branches]
    return np.concatenate(given, axis=-1) if layer.merge == "concat" else sum(given)


def _parallel_back(trace, layer, record, grad):
    """Through branches without layers goes their own part of the gradient."""
    shapes = layer.path_shapes(layer.input_shape)
    ends = np.cumsum([shape[-1] for shape in shapes])
    total = 0
    for branch, end, shape in zip(layer.branches, ends, shapes, strict=True):
        own = grad[..., end - shape[-1] : end] if layer.merge == "concat" else grad
        total = total + (trace[branch[0].name].grad_input if branch else own)
    return total, {}


def _residual(trace, layer, record):
    shortcut = trace[layer.shortcut[-1].name].output if layer.shortcut else record.input
    return shortcut + trace[layer.layers[-1].name].output


def _residual_back(trace, layer, record, grad):
    shortcut = trace[layer.shortcut[0].name].grad_input if layer.shortcut else grad
    return shortcut + trace[layer.layers[0].name].grad_input, {}


def _bend_back(layer, x, y, grad):
    if isinstance(layer, Softmax):
        return y * (grad - (grad * y).sum(axis=-1, keepdims=True))
    slopes = {
        ReLU: lambda: (y > 0) * 1.0,
        ReLU6: lambda: (0 < x) * (x < 6) * 1.0,
        LeakyReLU: lambda: np.where(x > 0, 1, layer.negative_slope),
        Sigmoid: lambda: y * (1 - y),
        Tanh: lambda: 1 - y * y,
        ELU: lambda: np.where(x > 0, 1, layer.alpha * np.exp(x)),
        Softplus: lambda: 1 / (1 + np.exp(-x)),
        SiLU: lambda: (1 + np.exp(-x) * (1 + x)) / (1 + np.exp(-x)) ** 2,
        GELU: lambda: _share(layer, x) + x * _share_slope(layer, x.astype(np.float64)),
    }
    return grad * slopes[type(layer)]()


def _share(layer, x):
    """P of a GELU."""
    x = x.astype(np.float64)
    if layer.approximate:
        return 0.5 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)) / 2
    return 0.5 + np.vectorize(math.erf)(x / np.sqrt(2)) / 2


def _share_slope(layer, x, h=1e-5):
    return (_share(layer, x + h) - _share(layer, x - h)) / (2 * h)


def _bent(function):
    forward = lambda trace, layer, record: function(layer, record.input)  # noqa: E731
    return forward, lambda trace, layer, record, grad: (_bend_back(layer, record.input, record.output, grad), {})


KINDS = {
    Conv2D: (_conv, _conv_back),
    Conv2DTranspose: (_transposed, _transposed_back),
    Dense: (_dense, _dense_back),
    MaxPool2D: (_max, _max_back),
    AveragePool2D: (_average, _average_back),
    GlobalAveragePool2D: (_global, _global_back),
    GlobalMaxPool2D: (
        lambda trace, layer, record: record.input.max(axis=(1, 2), keepdims=layer.keepdims),
        _global_max_back,
    ),
    DepthwiseConv2D: (_conv, _conv_back),
    SeparableConv2D: (
        lambda trace, layer, record: trace[layer.pointwise.name].output,
        lambda trace, layer, record, grad: (trace[layer.depthwise.name].grad_input, {}),
    ),
    Parallel: (_parallel, _parallel_back),
    Residual: (_residual, _residual_back),
    Rescaling: (
        lambda trace, layer, record: layer.scale * record.input + layer.offset,
        lambda trace, layer, record, grad: (layer.scale * grad, {}),
    ),
    ZeroPadding2D: (
        lambda trace, layer, record: np.pad(record.input, ((0, 0), *layer.padding, (0, 0))),
        _padded_back,
    ),
    LayerNorm: (
        lambda trace, layer, record: (
            _layer_norm(layer, record.input)[0] * record.params["gamma"] + record.params["beta"]
        ),
        _layer_norm_back,
    ),
    UpSample2D: (lambda trace, layer, record: _enlarged(layer, record.input), _upsample_back),
    BatchNorm: (_norm, _norm_back),
    Flatten: (
        lambda trace, layer, record: record.input.reshape(len(record.input), -1),
        lambda trace, layer, record, grad: (grad.reshape(record.input.shape), {}),
    ),
    Reshape: (
        lambda trace, layer, record: record.input.reshape(-1, *layer.target_shape),
        lambda trace, layer, record, grad: (grad.reshape(record.input.shape), {}),
    ),
    ReLU: _bent(lambda layer, x: np.maximum(x, 0)),
    ReLU6: _bent(lambda layer, x: np.minimum(np.maximum(x, 0), 6)),
    LeakyReLU: _bent(lambda layer, x: np.where(x > 0, x, layer.negative_slope * x)),
    Sigmoid: _bent(lambda layer, x: 1 / (1 + np.exp(-x))),
    Tanh: _bent(lambda layer, x: np.tanh(x)),
    ELU: _bent(lambda layer, x: np.where(x > 0, x, layer.alpha * (np.exp(x) - 1))),
    Softplus: _bent(lambda layer, x: np.log(1 + np.exp(x))),
    SiLU: _bent(lambda layer, x: x / (1 + np.exp(-x))),
    GELU: _bent(lambda layer, x: x * _share(layer, x)),
    Softmax: _bent(lambda layer, x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)),
}
