"""Going through a model's layers and their sublayers: parameters, weights, and where NaN began."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tinycnn.arguments import of_class
from tinycnn.layers.base import Layer
from tinycnn.regularizers import L1L2


class NonFinite(NamedTuple):
    """Where NaN or infinity was first seen: the layer's index and name, and which of its arrays."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    name: str
    what: str

    def where(self) -> str:
        """A half-sentence for errors."""
        if self.index < 0:
            return f"{self.what} are not finite"
        return f"it is first seen in {self.what} of layer {self.index} '{self.name}'"


def walk(layer: Layer) -> Iterator[Layer]:
    """Yield `layer` and everything inside it."""
    yield layer
    for part in layer.sublayers():
        yield from walk(part)


def trainable(layer: Layer) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield ``(key, parameter, gradient)`` of `layer` and everything inside it, frozen parts left out."""
    if layer.trainable:
        for key, param in layer.params.items():
            yield f"{layer.name}/{key}", param, layer.grads[key]
        for part in layer.sublayers():
            yield from trainable(part)


def regularized(layers: Iterable[Layer]) -> Iterator[tuple[L1L2, np.ndarray, np.ndarray]]:
    """Yield ``(penalty, parameter, gradient)`` of what trains and has a regularizer."""
    for layer in layers:
        if layer.trainable:
            for key, penalty in layer.regularizers.items():
                yield penalty, layer.params[key], layer.grads[key]
            yield from regularized(layer.sublayers())


def penalty(layers: Iterable[Layer]) -> float:
    """What the regularizers add to the loss, 0.0 without any."""
    return sum((penalty(param) for penalty, param, _ in regularized(layers)), 0.0)


def add_penalties(layers: Iterable[Layer]) -> float:
    """`penalty`, and its gradients added to those that a backward pass has filled."""
    total = 0.0
    for penalty, param, grad in regularized(layers):
        total += penalty(param)
        penalty.add_gradient(param, grad)
    return total


def first_nonfinite(layers: Sequence[Layer], x: np.ndarray | None = None) -> NonFinite | None:
    """Search `layers` in order, running them on `x` if it is given; see `Sequential.first_nonfinite`."""
    if x is not None and not np.isfinite(x).all():
        return NonFinite(-1, "input", "the images")
    for i, layer in enumerate(layers):
        for part in walk(layer):
            for key, array in (part.params | part.state).items():
                if not np.isfinite(array).all():
                    return NonFinite(i, str(part.name), key)
        if x is not None:
            x = layer.forward(x)
            if not np.isfinite(x).all():
                return NonFinite(i, str(layer.name), "output")
    return None


def check_weights(weights: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray], source: str) -> None:
    """Refuse `weights` unless all keys, shapes and types agree with `own`; see `Sequential.set_weights`."""
    of_class(weights, Mapping, source)
    for key in [*own, *(key for key in weights if key not in own)]:
        layer, _, what = key.rpartition("/")
        if key not in weights:
            raise ValueError(f"layer '{layer}' needs {what} of shape {own[key].shape}, but {source} has none")
        given = np.asarray(weights[key])
        if key not in own:
            raise ValueError(f"{source} has {what} of shape {given.shape} for layer '{layer}', which this model lacks")
        if given.shape != own[key].shape:
            raise ValueError(f"layer '{layer}' has {what} of shape {own[key].shape}, but {source} has {given.shape}")
        if given.dtype.kind not in "fiu":
            raise ValueError(f"layer '{layer}' needs numbers for {what}, but {source} has {given.dtype}")


def copy_weights(weights: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray], source: str) -> None:
    """Copy `weights` into the arrays of `own`, all or none; errors as of `check_weights`."""
    check_weights(weights, own, source)
    for key, array in own.items():
        array[...] = weights[key]


def weights_of(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights among the arrays of a saved model or checkpoint, by the keys that `copy_weights` takes."""
    return {key.removeprefix("weights/"): array for key, array in arrays.items() if key.startswith("weights/")}
