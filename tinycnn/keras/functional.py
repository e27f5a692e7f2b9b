"""Networks drawn by calling layers: ``x = Conv2D(8, 3)(x)``, ``x = add([x, shortcut])``, ``Model(inputs, x)``."""

from collections.abc import Iterator
from typing import Any

from tinycnn.keras.sequential import Sequential
from tinycnn.layers.base import Layer
from tinycnn.layers.parallel import Parallel
from tinycnn.layers.residual import Residual
from tinycnn.layers.symbol import Symbol


def Model(inputs: Symbol, outputs: Symbol, name: str = "functional", **options: Any) -> Sequential:
    """The network between two places of a drawing, as a `Sequential` with blocks where its paths fork and meet.

    Between a fork and the `add` or `concatenate` where its paths meet again, each path becomes a branch: of a
    `Residual` where two are added and one is empty or a shortcut, else of a `Parallel`.

    Parameters
    ----------
    inputs, outputs : Symbol
        One of each: of `Input`, and of what was drawn from it.
    name, **options
        Of `Sequential`.

    Raises
    ------
    ValueError
        If `outputs` does not come from `inputs`, or the paths cross instead of meeting where they forked.

    Examples
    --------
    >>> from tinycnn.keras import layers
    >>> inputs = layers.Input((8, 8, 4))
    >>> x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    >>> model = Model(inputs, layers.add([x, inputs]))
    >>> [layer.name for layer in model.all_layers()], model.output_shape
    (['residual', 'residual/conv2d', 'residual/conv2d/re_lu'], (8, 8, 4))
    """
    for what, place in (("inputs", inputs), ("outputs", outputs)):
        if not isinstance(place, Symbol):
            raise ValueError(f"Model: {what} must be one place, as Input(...) or layer(x) gives, got {place!r}")
    return Sequential([Symbol("input", shape=inputs.shape), *_between(inputs, outputs)], name=name, **options)


def _between(first: Symbol, last: Symbol) -> list[Layer]:
    """The layers from `first`, left out, to `last`."""
    layers: list[Layer] = []
    while last is not first:
        if not last.parents:
            raise ValueError("Model: outputs do not come from inputs, or paths cross instead of meeting")
        if isinstance(last.layer, Layer):
            layers.append(last.layer)
            last = last.parents[0]
            continue
        fork = _fork(last.parents)
        branches = [_between(fork, parent) for parent in last.parents]
        layers.append(_merged(str(last.layer), branches))
        last = fork
    return layers[::-1]


def _merged(how: str, branches: list[list[Layer]]) -> Layer:
    if how == "add" and len(branches) == 2 and any(branches):
        body, shortcut = sorted(branches, key=len, reverse=True)
        return Residual(body, shortcut)
    return Parallel(branches, "add" if how == "add" else "concat")


def _fork(places: Any) -> Symbol:
    """The last place from which all of `places` come."""
    first, *rest = ([*_upstream(place)] for place in places)
    for place in first:
        if all(any(place is other for other in line) for line in rest):
            return place
    raise ValueError("Model: what is merged comes from two inputs; one network has one")


def _upstream(place: Symbol) -> Iterator[Symbol]:
    """`place` and those through which all of its paths lead, from the last to the first."""
    yield place
    while place.parents:
        place = place.parents[0] if len(place.parents) == 1 else _fork(place.parents)
        yield place
