"""PyTorch's modules, as torch.fx traces them, to a `Sequential`."""

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinycnn.interop.graph import Graph, Merge, Pad, ceil_sides
from tinycnn.interop.peers import peer
from tinycnn.layers.activation import LeakyReLU, ReLU, ReLU6, Sigmoid, Softmax, Tanh
from tinycnn.layers.base import Layer, Shape, pair
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.global_max import GlobalMaxPool2D
from tinycnn.layers.layer_norm import LayerNorm
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.rescaling import Rescaling
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.smooth import ELU, GELU, SiLU, Softplus
from tinycnn.layers.upsample import UpSample2D
from tinycnn.model import Sequential

if TYPE_CHECKING:
    import torch

Converted = tuple[Layer | Pad | None, dict[str, Any]]  # the latter: PyTorch's tensors, axes moved


class Permutation(NamedTuple):
    """A tensor's axes in another order."""

    axes: tuple[int, ...]


def from_torch(module: "torch.nn.Module", input_shape: Shape) -> Sequential:
    """A `Sequential` that computes what `module` computes, with its weights.

    The module is traced by `torch.fx`: its layers may stand in a row, and branches that fork and are added or
    concatenated again become `Residual` or `Parallel`, DenseNet's lists of features among them.  Images stay NHWC here;
    the weights of a Dense behind a Flatten are put in that order.

    Parameters
    ----------
    module : torch.nn.Module
        Whose forward takes one tensor and gives one.
    input_shape : tuple of int
        As tinycnn has it: ``(height, width, channels)``, without the batch axis.

    Returns
    -------
    Sequential
        Built, in the module's dtype.  ``from_torch(m, shape).forward(x)`` is ``m.eval()`` of x in NCHW.

    Raises
    ------
    ImportError
        If torch is not installed.
    ValueError
        Naming the layer that does not convert, and what to do.

    Notes
    -----
    In training, PyTorch's BatchNorm keeps the unbiased variance of a batch for later, tinycnn (as Keras) the biased.

    Examples
    --------
    >>> import pytest
    >>> nn = pytest.importorskip("torch").nn
    >>> from_torch(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)), (8, 8, 3)).output_shape
    (4, 4, 8)
    """
    torch = peer("torch", "from_torch")
    fx = peer("torch.fx", "from_torch")
    try:
        traced = fx.symbolic_trace(module)
    except Exception as error:  # whatever the module's own code raises when it gets no numbers
        raise ValueError(
            f"from_torch: {type(module).__name__} cannot be traced ({error}); its forward must not depend on the "
            "numbers that it gets: convert a module that leaves such parts out"
        ) from error
    inputs = [node.name for node in traced.graph.nodes if node.op == "placeholder"]
    output = next(node.args[0] for node in traced.graph.nodes if node.op == "output")
    if len(inputs) != 1 or not hasattr(output, "name"):
        raise ValueError(f"from_torch: {type(module).__name__} must take one tensor and give one")
    graph = Graph("from_torch", inputs[0], tuple(int(n) for n in input_shape))
    converters = _converters(torch.nn)
    called: set[str] = set()
    channels_last: set[str] = set()  # what is in NHWC, for a LayerNorm
    for node in traced.graph.nodes:
        if node.op in ("placeholder", "output") or node.target in (getattr, operator.getitem, "size"):
            continue  # the latter are shapes, for view and reshape
        try:
            what = traced.get_submodule(node.target) if node.op == "call_module" else _called(torch, node)
            if node.op == "call_module" and node.target in called and list(what.parameters()):
                raise ValueError("it is called twice; weights that are shared do not convert")
            called.add(str(node.target))
            two = what == Merge("add") or isinstance(what, Rescaling)
            operands = node.args[0] if what == Merge("concat") else node.args[: 2 if two else 1]
            names = [part.name for part in operands if isinstance(part, fx.Node)]
            weights: dict[str, Any] = {}
            if isinstance(what, torch.nn.Module):
                convert = next((converters[kind] for kind in type(what).__mro__ if kind in converters), None)
                if convert is None:
                    known = ", ".join(sorted(kind.__name__ for kind in converters))
                    raise ValueError(f"a {type(what).__name__} does not convert; {known} do")
                what, weights = convert(what, graph.shapes[names[0]])
            if _layout(what, names, graph.shapes[names[0]], channels_last):
                channels_last.add(node.name)
            what = None if isinstance(what, Permutation) else what
        except (ValueError, TypeError, LookupError, AttributeError) as error:  # the latter from arguments of calls
            graph.cannot(str(node.target) if node.op == "call_module" else node.name, str(error))
        arrays = {k: v.detach().cpu().numpy() if isinstance(v, torch.Tensor) else v for k, v in weights.items()}
        graph.add(node.name, what, names, arrays, channels_first=isinstance(what, (Flatten, Reshape)))
    double = next((p.dtype for p in module.parameters()), None) == torch.float64
    return graph.sequential(output.name, np.float64 if double else np.float32)


def _layout(what: Any, names: list[str], shape: Shape, channels_last: set[str]) -> bool:
    """Whether an operation gives images in NHWC, which only a LayerNorm wants; refuses it if it gets the wrong ones."""
    last = names[0] in channels_last
    if isinstance(what, Permutation):
        if what.axes != ((0, 3, 1, 2) if last else (0, 2, 3, 1)) or len(shape) != 3:
            raise ValueError(f"a permutation by {what.axes} does not convert, only to NHWC for a LayerNorm, and back")
        return not last
    if isinstance(what, LayerNorm) and not last and len(shape) == 3:
        raise ValueError("it normalizes along the rows of NCHW; permute(0, 2, 3, 1) before and (0, 3, 1, 2) behind it")
    if last and not isinstance(what, LayerNorm):
        raise ValueError("it gets images in NHWC; permute(0, 3, 1, 2) right behind the LayerNorm")
    return last


def _called(torch: Any, node: Any) -> Any:
    """What a call of a function or of a tensor's method is: a module, a layer or a merge."""
    nn, f = torch.nn, torch.nn.functional
    if node.op == "get_attr":
        raise ValueError("a parameter that the module's own code computes with does not convert; use a torch.nn layer")
    if not node.args:
        raise ValueError("give its input in the first place, not by name")
    args, kwargs = node.args[1:], {k: v for k, v in node.kwargs.items() if k not in ("inplace", "training", "dtype")}
    numbers = [value for value in node.args[:2] if isinstance(value, (int, float))]
    if node.target in (operator.add, operator.iadd, torch.add, "add", "add_"):
        return Rescaling(1.0, numbers[0]) if numbers else Merge("add")
    if node.target in (operator.mul, operator.imul, torch.mul, "mul", "mul_"):
        if not numbers:
            raise ValueError(
                "a product of two tensors does not convert (squeeze-and-excite); only sums and concatenations do"
            )
        return Rescaling(numbers[0])
    if node.target in (torch.cat, torch.concat):
        if kwargs.get("dim", (*args, 0)[0]) not in (1, -3):
            raise ValueError("it concatenates along another axis than the channels, which does not convert")
        return Merge("concat")
    if node.target in (torch.mean, "mean"):
        axes = kwargs.get("dim", (*args, ())[0])
        if not isinstance(axes, (tuple, list)) or sorted(n % 4 for n in axes) != [2, 3]:
            raise ValueError("a mean converts over rows and columns only, dim=(2, 3)")
        return GlobalAveragePool2D(keepdims=kwargs.get("keepdim", (*args, (), False)[1] if len(args) > 1 else False))
    if node.target in (torch.reshape, "view", "reshape", torch.permute, "permute"):
        shape = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
        if node.target in (torch.permute, "permute"):
            return Permutation(tuple(n % 4 for n in shape))
        return _reshape(shape[1:])
    if node.target is f.dropout:
        return nn.Dropout(kwargs.get("p", (*args, 0.5)[0]))
    if node.target is f.pad:
        if kwargs.get("mode", (*args[1:], "constant")[0]) != "constant":
            raise ValueError("only padding by a constant converts")
        return nn.ConstantPad2d(args[0], kwargs.get("value", (*args[2:], 0.0)[0]) or 0.0)
    if kwargs.get("antialias"):
        raise ValueError("interpolation with antialias does not convert")
    known = {
        **dict.fromkeys((f.relu, torch.relu, "relu", "relu_"), nn.ReLU),
        **dict.fromkeys((f.sigmoid, torch.sigmoid, "sigmoid"), nn.Sigmoid),
        **dict.fromkeys((f.tanh, torch.tanh, "tanh"), nn.Tanh),
        **dict.fromkeys((f.softmax, torch.softmax, "softmax"), nn.Softmax),
        **dict.fromkeys((torch.flatten, "flatten"), nn.Flatten),
        f.relu6: nn.ReLU6,
        f.hardtanh: nn.Hardtanh,
        f.leaky_relu: nn.LeakyReLU,
        f.elu: nn.ELU,
        f.gelu: nn.GELU,
        f.silu: nn.SiLU,
        f.softplus: nn.Softplus,
        f.max_pool2d: nn.MaxPool2d,
        f.avg_pool2d: nn.AvgPool2d,
        f.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
        f.interpolate: nn.Upsample,
    }
    if node.op not in ("call_function", "call_method") or node.target not in known:
        raise ValueError(f"{getattr(node.target, '__name__', node.target)} does not convert; use a layer of torch.nn")
    return known[node.target](*args, **{k: v for k, v in kwargs.items() if k not in ("_stacklevel", "antialias")})


def _reshape(shape: Any) -> Layer:
    """Channels first to channels last, of a shape without the batch axis."""
    if not all(isinstance(n, int) for n in shape) or len(shape) not in (1, 3):
        raise ValueError(f"a reshape to {tuple(map(str, shape))} does not convert; give (images, -1) or three numbers")
    return Flatten() if len(shape) == 1 else Reshape((*shape[1:], shape[0]))


def _converters(nn: Any) -> dict[type, Callable[[Any, Shape], Converted]]:
    """By kind of module: ``(module, shape of its input) -> (layer, weights)``."""
    return {
        nn.Conv2d: _conv,
        nn.ConvTranspose2d: _conv_transpose,
        nn.Linear: _linear,
        nn.BatchNorm1d: _norm,
        nn.BatchNorm2d: _norm,
        nn.MaxPool2d: _max_pool,
        nn.AvgPool2d: _average_pool,
        nn.AdaptiveAvgPool2d: _adaptive_pool,
        nn.Flatten: _flatten,
        nn.Unflatten: lambda m, shape: (_reshape(m.unflattened_size), {}),
        nn.Upsample: _upsample,
        nn.ConstantPad2d: lambda m, shape: (Pad((m.padding[2:], m.padding[:2]), float(m.value)), {}),
        nn.Identity: lambda m, shape: (None, {}),
        nn.Dropout: lambda m, shape: (Dropout(m.p), {}),
        nn.AdaptiveMaxPool2d: _global_max,
        nn.LayerNorm: _layer_norm,
        nn.ELU: lambda m, shape: (ELU(m.alpha), {}),
        nn.GELU: lambda m, shape: (GELU(m.approximate == "tanh"), {}),
        nn.SiLU: lambda m, shape: (SiLU(), {}),
        nn.Softplus: _softplus,
        nn.ReLU: lambda m, shape: (ReLU(), {}),
        nn.ReLU6: _hardtanh,
        nn.Hardtanh: _hardtanh,
        nn.LeakyReLU: lambda m, shape: (LeakyReLU(m.negative_slope), {}),
        nn.Sigmoid: lambda m, shape: (Sigmoid(), {}),
        nn.Tanh: lambda m, shape: (Tanh(), {}),
        nn.Softmax: _softmax,
    }


def _weights(module: Any, kernel_axes: tuple[int, ...]) -> dict[str, Any]:
    bias = {} if module.bias is None else {"bias": module.bias}
    return {"kernel": module.weight.permute(kernel_axes), **bias}


def _conv(m: Any, shape: Shape) -> Converted:
    if m.padding_mode != "zeros":
        raise ValueError(f"padding_mode={m.padding_mode!r} does not convert; pad by zeros")
    if shape[-1:] != (m.in_channels,):
        raise ValueError(f"it takes {m.in_channels} channels and gets images of {shape}, (height, width, channels)")
    layer = Conv2D(
        m.out_channels, m.kernel_size, m.stride, m.padding, m.dilation, m.groups, use_bias=m.bias is not None
    )
    return layer, _weights(m, (2, 3, 1, 0))


def _conv_transpose(m: Any, shape: Shape) -> Converted:
    if m.groups != 1 or m.dilation != (1, 1):
        raise ValueError("groups and dilation of a transposed convolution do not convert; use UpSample2D and Conv2D")
    padding: Any = tuple((p, p - more) for p, more in zip(m.padding, m.output_padding, strict=True))
    if np.min(padding) < 0:
        short = tuple(max(0, s - k) for s, k in zip(m.stride, m.kernel_size, strict=True))
        if np.any(m.padding) or m.output_padding != short:
            raise ValueError(f"output_padding={m.output_padding} does not convert, more rows than the kernel fills")
        padding = "valid"
    layer = Conv2DTranspose(m.out_channels, m.kernel_size, m.stride, padding, use_bias=m.bias is not None)
    return layer, _weights(m, (2, 3, 1, 0))


def _linear(m: Any, shape: Shape) -> Converted:
    return Dense(m.out_features, use_bias=m.bias is not None), _weights(m, (1, 0))


def _norm(m: Any, shape: Shape) -> Converted:
    if m.running_mean is None or m.momentum is None:
        raise ValueError("it keeps no moving averages of one momentum; use track_running_stats=True and a momentum")
    weights = {"moving_mean": m.running_mean, "moving_variance": m.running_var}
    ones, zeros = m.running_mean * 0 + 1, m.running_mean * 0
    gamma, beta = (m.weight, m.bias) if m.affine else (ones, zeros)
    return BatchNorm(1 - m.momentum, m.eps), {**weights, "gamma": gamma, "beta": beta}


def _pool_arguments(m: Any, shape: Shape) -> tuple[Any, Any, Any]:
    size, padding = pair(m.kernel_size, "kernel_size"), m.padding
    stride = size if m.stride is None else pair(m.stride, "stride")
    padding = tuple((p, p) for p in (padding if isinstance(padding, tuple) else (padding, padding)))
    if m.ceil_mode:
        padding = tuple(ceil_sides(n, k, s, *p) for n, k, s, p in zip(shape, size, stride, padding, strict=False))
    return size, stride, padding


def _max_pool(m: Any, shape: Shape) -> Converted:
    if pair(m.dilation, "dilation") != (1, 1) or m.return_indices:
        raise ValueError("dilation and return_indices of a max-pool do not convert; leave them out")
    return MaxPool2D(*_pool_arguments(m, shape)), {}


def _average_pool(m: Any, shape: Shape) -> Converted:
    if m.divisor_override or m.count_include_pad and np.any(m.padding):
        raise ValueError("a mean over padded zeros does not convert; use count_include_pad=False, no divisor_override")
    return AveragePool2D(*_pool_arguments(m, shape)), {}


def _adaptive_pool(m: Any, shape: Shape) -> Converted:
    given = m.output_size if isinstance(m.output_size, tuple) else (m.output_size, m.output_size)
    out = tuple(n if want is None else want for want, n in zip(given, shape, strict=False))
    if out == (1, 1):
        return GlobalAveragePool2D(keepdims=True), {}
    if out == shape[:2]:
        return None, {}
    if not any(n % o for n, o in zip(shape, out, strict=False)):
        return AveragePool2D(tuple(n // o for n, o in zip(shape, out, strict=False))), {}  # type: ignore[arg-type]
    if not any(o % n for n, o in zip(shape, out, strict=False)):
        return UpSample2D(tuple(o // n for n, o in zip(shape, out, strict=False))), {}  # type: ignore[arg-type]
    raise ValueError(f"means of {shape[:2]} cells in {out} windows differ in size; choose an input_shape that divides")


def _global_max(m: Any, shape: Shape) -> Converted:
    if m.output_size not in (1, (1, 1)) or m.return_indices:
        raise ValueError("only the maximum of the whole image converts, output_size=1; use MaxPool2d for windows")
    return GlobalMaxPool2D(keepdims=True), {}


def _layer_norm(m: Any, shape: Shape) -> Converted:
    if tuple(m.normalized_shape) != shape[-1:]:
        raise ValueError(f"normalized_shape={m.normalized_shape} does not convert, only the channels' {shape[-1:]}")
    gamma = np.ones(shape[-1]) if m.weight is None else m.weight
    return LayerNorm(m.eps), {"gamma": gamma, "beta": np.zeros(shape[-1]) if m.bias is None else m.bias}


def _hardtanh(m: Any, shape: Shape) -> Converted:
    if (m.min_val, m.max_val) != (0, 6):
        raise ValueError(f"limits of {m.min_val} and {m.max_val} do not convert, only those of a ReLU6, 0 and 6")
    return ReLU6(), {}


def _softplus(m: Any, shape: Shape) -> Converted:
    if m.beta != 1:
        raise ValueError(f"beta={m.beta} does not convert, only 1")
    return Softplus(), {}


def _flatten(m: Any, shape: Shape) -> Converted:
    if (m.start_dim, m.end_dim) != (1, -1):
        raise ValueError("only a Flatten of all axes but the images' converts, start_dim=1, end_dim=-1")
    return (None if len(shape) == 1 else Flatten()), {}


def _upsample(m: Any, shape: Shape) -> Converted:
    scale = m.scale_factor if m.size is None else tuple(o / n for o, n in zip(_two(m.size), shape, strict=False))
    factors = tuple(int(s) for s in _two(scale))
    if m.mode not in ("nearest", "bilinear") or m.align_corners or factors != _two(scale):
        raise ValueError("only whole factors convert, nearest or bilinear, without align_corners")
    return UpSample2D(factors, m.mode), {}  # type: ignore[arg-type]


def _two(value: Any) -> tuple[Any, Any]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)  # type: ignore[return-value]


def _softmax(m: Any, shape: Shape) -> Converted:
    if m.dim not in ((1, -1) if len(shape) == 1 else (1, -3)):
        raise ValueError(f"a softmax over dim={m.dim} does not convert, only over the channels, dim=1")
    return Softmax(), {}
