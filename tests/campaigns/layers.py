"""Random layers, forward and backward, by every set of kernels: against torch where there is one, else NumPy's set."""

import numpy as np

from tinycnn import layers
from tinycnn.kernels.sets import SETS, set_kernels
from tinycnn.layers.padding import resolve_padding

try:
    import torch
    from torch.nn import functional
except ImportError:
    torch = None

COUNT = 2000
TOLERANCES = {"float64": 1e-10, "float32": 2e-5}  # of the largest number
ACTIVATIONS = [None, "relu", "tanh", "sigmoid", "leaky_relu"]


def prepare(folder):
    """Nothing: the layers start from their seeds."""


def attack(_, rng):
    kind = str(rng.choice(["conv", "transpose", "max", "average", "norm", "dense"], p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1]))
    layer, shape = MAKERS[kind](rng)
    dtype = str(rng.choice(["float32", "float64"]))
    x = rng.normal(size=(int(rng.integers(1, 4)), *shape)).astype(dtype)
    try:
        layer.build(shape, np.random.default_rng(0), dtype)
    except ValueError:  # a window that does not fit
        return
    for key, value in layer.params.items():
        value[...] = rng.normal(size=value.shape)
        assert value.dtype == dtype, key
    grad = rng.normal(size=(len(x), *layer.output_shape)).astype(dtype)
    found = {name: results(layer, x, grad, name) for name in SETS}
    expected = found["reference"] if torch is None else by_torch(layer, kind, x, grad)
    for name, result in found.items():
        for key, value in expected.items():
            assert result[key].shape == value.shape and result[key].dtype == dtype, f"{name}: {key} of {layer}"
            size = max(np.abs(value).max(initial=0), 1)
            error = np.abs(result[key] - value).max(initial=0) / size
            assert error <= TOLERANCES[dtype], f"{name}: {key} of {layer} for {x.shape} {dtype} is off by {error:.1e}"


def results(layer, x, grad, name):
    with set_kernels(name):
        y = layer.forward(x, training=True)
        grad_x = layer.backward(grad)
        return {"y": y, "x": grad_x, **{key: value.copy() for key, value in layer.grads.items()}}


def by_torch(layer, kind, x, grad):
    leaf = {"x": x.transpose(0, 3, 1, 2) if x.ndim == 4 else x} | layer.params
    leaf = {key: torch.tensor(np.ascontiguousarray(value), requires_grad=True) for key, value in leaf.items()}
    z = FORWARDS[kind](layer, leaf["x"], leaf.get("kernel"), leaf.get("bias"), leaf)
    if layer.activation is not None:
        names = {"ReLU": torch.relu, "Tanh": torch.tanh, "Sigmoid": torch.sigmoid}
        name = type(layer.activation).__name__
        z = names[name](z) if name in names else functional.leaky_relu(z, layer.activation.negative_slope)
    y = z.permute(0, 2, 3, 1) if x.ndim == 4 else z
    y.backward(torch.tensor(grad))
    found = {key: value.grad.numpy() for key, value in leaf.items()}
    found["x"] = found["x"].transpose(0, 2, 3, 1) if x.ndim == 4 else found["x"]
    return {"y": y.detach().numpy(), **found}


def two(rng, low, high):
    return tuple(int(n) for n in rng.integers(low, high, 2))


def padding_of(rng, most=3):
    numbers = tuple(map(tuple, rng.integers(0, most, (2, 2)).tolist()))
    return ["same", "valid", numbers][rng.integers(3)]


def image_shape(rng, channels=None):
    sizes = two(rng, 1, 13)
    return (*sizes, int(channels or rng.choice([1, 2, 3, 5, 8, 16, 17, 32])))


def conv(rng):
    groups = int(rng.choice([1, 1, 1, 2, 4]))
    filters, channels = groups * int(rng.choice([1, 2, 3, 8, 16, 17])), groups * int(rng.choice([1, 2, 3, 8, 16]))
    options = {"strides": two(rng, 1, 4), "padding": padding_of(rng), "dilation_rate": two(rng, 1, 3)}
    if rng.integers(2):
        options |= {"strides": 1, "dilation_rate": 1}
    activation, bias = ACTIVATIONS[rng.integers(5)], bool(rng.integers(2))
    made = layers.Conv2D(filters, two(rng, 1, 5), groups=groups, activation=activation, use_bias=bias, **options)
    return made, image_shape(rng, channels)


def transpose(rng):
    filters, activation = int(rng.choice([1, 2, 3, 8, 16, 17])), ACTIVATIONS[rng.integers(5)]
    options = {"strides": two(rng, 1, 4), "padding": str(rng.choice(["same", "valid"]))}
    return layers.Conv2DTranspose(filters, two(rng, 1, 5), activation=activation, **options), image_shape(rng)


def pool(kind):
    def make(rng):
        window = two(rng, 1, 5)
        return kind(window, two(rng, 1, 4), str(rng.choice(["same", "valid"]))), image_shape(rng)

    return make


def dense(rng):
    made = layers.Dense(int(rng.integers(1, 40)), ACTIVATIONS[rng.integers(5)], bool(rng.integers(2)))
    return made, (int(rng.integers(1, 200)),)


MAKERS = {"conv": conv, "transpose": transpose, "dense": dense}
MAKERS |= {"max": pool(layers.MaxPool2D), "average": pool(layers.AveragePool2D)}
MAKERS["norm"] = lambda rng: (layers.BatchNorm(), image_shape(rng))


def torch_conv(layer, x, kernel, bias, _):
    (top, bottom), (left, right) = layer.geometry(layer.input_shape).pads
    padded = functional.pad(x, (left, right, top, bottom))
    kernel = kernel.permute(3, 2, 0, 1).contiguous()
    return functional.conv2d(padded, kernel, bias, layer.strides, 0, layer.dilation_rate, layer.groups)


def torch_transpose(layer, x, kernel, bias, _):
    whole = functional.conv_transpose2d(x, kernel.permute(3, 2, 0, 1).contiguous(), bias, layer.strides)
    rows, columns = layer.output_shape[:2]
    axes = zip((rows, columns), layer.kernel_size, layer.strides, strict=True)
    top, left = (resolve_padding(layer.padding, *axis)[0] for axis in axes)
    missing = max(0, top + rows - whole.shape[2]), max(0, left + columns - whole.shape[3])
    whole = functional.pad(whole, (0, missing[1], 0, missing[0]))
    if bias is not None and any(missing):  # what lies beyond every window is the bias alone
        inside = torch.zeros(whole.shape[2] - missing[0], whole.shape[3] - missing[1], dtype=x.dtype)
        mask = functional.pad(inside, (0, missing[1], 0, missing[0]), value=1.0)
        whole = whole + mask * bias[:, None, None]
    return whole[..., top : top + rows, left : left + columns]


def torch_pool(layer, x, *_):
    axes = zip(layer.input_shape[:2], layer.pool_size, layer.strides, strict=True)
    (top, bottom), (left, right) = (resolve_padding(layer.padding, *axis) for axis in axes)
    lowest = -torch.inf if isinstance(layer, layers.MaxPool2D) else 0.0
    padded = functional.pad(x, (left, right, top, bottom), value=lowest)
    if isinstance(layer, layers.MaxPool2D):
        return functional.max_pool2d(padded, layer.pool_size, layer.strides)
    inside = functional.pad(torch.ones_like(x), (left, right, top, bottom))
    sums = (functional.avg_pool2d(part, layer.pool_size, layer.strides) for part in (padded, inside))
    return torch.div(*sums)


def torch_norm(layer, x, kernel, bias, leaf):
    return functional.batch_norm(x, None, None, leaf["gamma"], leaf["beta"], training=True, eps=layer.epsilon)


FORWARDS = {"conv": torch_conv, "transpose": torch_transpose, "max": torch_pool, "average": torch_pool}
FORWARDS |= {"norm": torch_norm, "dense": lambda layer, x, kernel, bias, _: functional.linear(x, kernel.T, bias)}
