"""A `Sequential` to PyTorch's modules."""

import math
from collections import OrderedDict
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.interop.graph import ceil_sides, check_built, crops_of, sides_of
from tinycnn.interop.orders import feature_orders, reordered
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
from tinycnn.layers.residual import Residual
from tinycnn.layers.smooth import ELU, GELU, SiLU, Softplus
from tinycnn.layers.upsample import UpSample2D
from tinycnn.layers.zero_padding import ZeroPadding2D
from tinycnn.model import Sequential

if TYPE_CHECKING:
    import torch


def to_torch(model: Sequential) -> "torch.nn.Sequential":
    """A `torch.nn.Sequential` that computes what `model` computes, with its weights, on images in NCHW.

    Its layers carry the names that they have here.  The weights of a Dense behind a Flatten are put in the order of
    channels first, so that the module is the one that a PyTorch user would have written.

    Parameters
    ----------
    model : Sequential
        Built.

    Returns
    -------
    torch.nn.Sequential
        In `eval` mode; in the model's dtype.

    Raises
    ------
    ImportError
        If torch is not installed.
    ValueError
        For a model that is not built, and naming a layer that does not convert.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> model = Sequential([Conv2D(4, 3, strides=2, padding="same", activation="relu"), Flatten(), Dense(2)])
    >>> x = np.ones((1, 8, 8, 3), np.float32)
    >>> y = model.forward(x)
    >>> theirs = to_torch(model)(torch.tensor(x).permute(0, 3, 1, 2)).detach().numpy()
    >>> bool(np.allclose(y, theirs, atol=1e-5))
    True
    """
    torch = peer("torch", "to_torch")
    check_built(model, "to_torch")
    orders = feature_orders(model.layers, "to_torch")
    around = zip(model.layers, orders, orders[1:], strict=False)
    return _row(torch, [part for layer, *order in around for part in _parts(torch, layer, *order)]).eval()


def _row(torch: Any, parts: list[tuple[str, Any]]) -> Any:
    return torch.nn.Sequential(OrderedDict(parts))


def _parts(torch: Any, layer: Layer, before: Any = None, after: Any = None) -> list[tuple[str, Any]]:
    """Names and modules that together do what `layer` does; `before` and `after` as of `feature_orders`."""
    name = str(layer.name).rpartition("/")[2].replace(".", "_")
    if isinstance(layer, Block):
        rows = [_row(torch, sum((_parts(torch, part) for part in path), [])) for path in layer.paths]
        if isinstance(layer, Parallel):
            modules = [_own().Parallel(rows, layer.merge)]
        else:
            modules = [_own().Residual(*rows)] if isinstance(layer, Residual) else rows
    else:
        modules = _modules(torch.nn, layer)
    owner = next((part for module in modules for part in module.modules() if hasattr(part, "weight")), None)
    for key, array in (layer.params | layer.state).items():
        array = reordered(key, array, before, after)
        if key == "kernel":
            array = array.transpose((1, 0) if array.ndim == 2 else (3, 2, 0, 1))
        tensor = torch.tensor(np.ascontiguousarray(array))
        trained = torch.nn.Parameter(tensor, requires_grad=layer.trainable)
        setattr(owner, TORCH_NAMES[key], tensor if key in layer.state else trained)
    own = next((m for m in modules if owner in m.modules()), modules[0])
    parts = [(name if m is own else f"{name}_{type(m).__name__.lower()}", m) for m in modules]
    if layer.activation is not None:
        parts += [(f"{name}_{type(layer.activation).__name__.lower()}", *_modules(torch.nn, layer.activation))]
    return parts


TORCH_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _modules(nn: Any, layer: Any) -> list[Any]:
    """The modules, weights not yet set: `layer` without its activation."""
    if isinstance(layer, (Conv2D, Conv2DTranspose)):
        return _convolution(nn, layer)
    if isinstance(layer, Dense):
        return [nn.Linear(*layer.params["kernel"].shape, bias=layer.use_bias, device="meta")]
    if isinstance(layer, BatchNorm):
        kind = nn.BatchNorm2d if len(layer.input_shape) == 3 else nn.BatchNorm1d
        return [kind(layer.input_shape[-1], layer.epsilon, 1 - layer.momentum)]
    if isinstance(layer, (MaxPool2D, AveragePool2D)):
        return _pool(nn, layer)
    if isinstance(layer, LayerNorm):
        norm = nn.LayerNorm(layer.input_shape[-1], layer.epsilon)
        return [_own().ChannelNorm(norm) if len(layer.input_shape) == 3 else norm]
    if isinstance(layer, (GlobalAveragePool2D, GlobalMaxPool2D)):
        kind = nn.AdaptiveAvgPool2d if isinstance(layer, GlobalAveragePool2D) else nn.AdaptiveMaxPool2d
        return [kind(1), *([] if layer.keepdims else [nn.Flatten()])]
    if isinstance(layer, ZeroPadding2D):
        sides: Any = check_padding(layer.padding, "ZeroPadding2D")
        (top, bottom), (left, right) = sides
        return [nn.ZeroPad2d((left, right, top, bottom))]
    if isinstance(layer, Reshape) and len(layer.output_shape) == 3:
        rows, columns, channels = layer.output_shape
        flat = [nn.Flatten()] if len(layer.input_shape) > 1 else []
        return [*flat, nn.Unflatten(1, (channels, rows, columns))]
    if isinstance(layer, UpSample2D):
        return [nn.Upsample(scale_factor=tuple(map(float, layer.size)), mode=layer.interpolation)]
    simple = {
        Flatten: nn.Flatten,
        ReLU: nn.ReLU,
        ReLU6: nn.ReLU6,
        Sigmoid: nn.Sigmoid,
        Tanh: nn.Tanh,
        Softmax: lambda: nn.Softmax(dim=1),
        LeakyReLU: lambda: nn.LeakyReLU(layer.negative_slope),
        ELU: lambda: nn.ELU(layer.alpha),
        GELU: lambda: nn.GELU("tanh" if layer.approximate else "none"),
        SiLU: nn.SiLU,
        Softplus: nn.Softplus,
        Dropout: lambda: nn.Dropout(layer.rate),
        Rescaling: lambda: _own().Rescaling(layer.scale, layer.offset),
        Augmentation: nn.Identity,
    }
    if type(layer) not in simple:
        raise ValueError(f"to_torch: {layer.where()} has no counterpart in PyTorch; replace it, or convert without it")
    return [simple[type(layer)]()]


def _convolution(nn: Any, layer: Any) -> list[Any]:
    options = {"bias": layer.use_bias, "device": "meta"}
    sizes = (layer.input_shape[2], layer.filters, layer.kernel_size, layer.strides)
    if isinstance(layer, Conv2D):
        (top, bottom), (left, right) = sides_of(layer, layer.input_shape)
        options |= {"dilation": layer.dilation_rate, "groups": layer.groups}
        if (top, left) == (bottom, right):
            return [nn.Conv2d(*sizes, padding=(top, left), **options)]
        return [nn.ZeroPad2d((left, right, top, bottom)), nn.Conv2d(*sizes, **options)]
    (top, bottom), (left, right) = crops_of(layer, layer.input_shape)
    more = (max(0, top - bottom), max(0, left - right))  # rows and columns that PyTorch would cut at the end
    whole = nn.ConvTranspose2d(*sizes, padding=(top, left), output_padding=more, **options)
    rest = (0, min(0, left - right), 0, min(0, top - bottom))
    return [whole, nn.ZeroPad2d(rest)] if any(rest) else [whole]


def _pool(nn: Any, layer: Any) -> list[Any]:
    """Cells outside the image count in neither library, so only where windows begin and how many there are matters."""
    kind = nn.MaxPool2d if isinstance(layer, MaxPool2D) else nn.AvgPool2d
    options = {} if isinstance(layer, MaxPool2D) else {"count_include_pad": False}
    sides, size = sides_of(layer, layer.input_shape), layer.output_shape[:2]
    begin = tuple(before for before, _ in sides)
    axes = list(zip(layer.input_shape, layer.pool_size, layer.strides, begin, size, strict=False))
    if all(2 * b <= k for _, k, _, b, _ in axes):
        for ceil in (False, True):
            ends = [ceil_sides(n, k, s, b, b)[1] if ceil else b for n, k, s, b, _ in axes]
            if all((n + b + end - k) // s + 1 == out for (n, k, s, b, out), end in zip(axes, ends, strict=True)):
                return [kind(layer.pool_size, layer.strides, begin, ceil_mode=ceil, **options)]
    if isinstance(layer, MaxPool2D):
        (top, bottom), (left, right) = sides
        return [nn.ConstantPad2d((left, right, top, bottom), -math.inf), kind(layer.pool_size, layer.strides)]
    raise ValueError(f"to_torch: {layer.where()}: PyTorch cannot average with padding {sides}; pad both sides alike")


@cache
def _own() -> Any:
    """Classes of modules that PyTorch has no equal of; made once torch is there to derive them from."""
    torch = peer("torch", "to_torch")
    Module: Any = torch.nn.Module

    class Residual(Module):
        """A shortcut added to a row of layers."""

        def __init__(self, layers: Any, shortcut: Any) -> None:
            super().__init__()
            self.layers, self.shortcut = layers, shortcut

        def forward(self, x: Any) -> Any:
            return self.layers(x) + self.shortcut(x)

    class Parallel(Module):
        """What branches give, concatenated or added."""

        def __init__(self, branches: Any, merge: str) -> None:
            super().__init__()
            self.branches, self.merge = torch.nn.ModuleList(branches), merge

        def forward(self, x: Any) -> Any:
            ends = [branch(x) for branch in self.branches]
            return torch.cat(ends, 1) if self.merge == "concat" else sum(ends[1:], ends[0])

    class ChannelNorm(Module):
        """A LayerNorm of the channels of each pixel."""

        def __init__(self, norm: Any) -> None:
            super().__init__()
            self.norm = norm

        def forward(self, x: Any) -> Any:
            return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    class Rescaling(Module):
        """``scale * x + offset``."""

        def __init__(self, scale: float, offset: float) -> None:
            super().__init__()
            self.scale, self.offset = scale, offset

        def forward(self, x: Any) -> Any:
            return self.scale * x + self.offset

    return SimpleNamespace(Residual=Residual, Parallel=Parallel, ChannelNorm=ChannelNorm, Rescaling=Rescaling)
