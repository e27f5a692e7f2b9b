"""How `tinycnn.gradcheck` moves tensors by small steps, and puts back all that it moved."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from tinycnn.layers.base import Layer

Move = Callable[[float], float]  # moves a tensor by a step from where it was; returns the step that was really taken
DRAWS = 5  # random directions per tensor in random mode


def elements(tensor: np.ndarray, gradient: np.ndarray) -> Iterator[tuple[tuple[int, ...] | None, Move, float]]:
    """For each element: its index, a function that moves it by a step, its analytic gradient."""
    for index in np.ndindex(tensor.shape):
        kept = tensor[index]

        def move(step, index=index, kept=kept):
            tensor[index] = kept + step
            return tensor[index] - kept  # the step that was really taken, after rounding

        yield index, move, float(gradient[index])


def directions(
    tensor: np.ndarray, gradient: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[tuple[int, ...] | None, Move, float]]:
    """The same for random unit vectors, without an index: twice as many as needed, since some may meet a kink."""
    kept = tensor.copy()
    for _ in range(2 * DRAWS):
        direction = rng.normal(size=tensor.shape)
        direction /= np.linalg.norm(direction)

        def move(step, direction=direction):
            tensor[...] = kept + step * direction
            return step

        yield None, move, float(np.vdot(gradient, direction))


@contextmanager
def undisturbed(layers: Sequence[Layer], rng: np.random.Generator) -> Iterator[Callable[[], None]]:
    """Disturb constant tensors inside the block; put everything back after it.

    Yields a function that puts running statistics back to where they were after the disturbance, and generators to
    where they were before it, so that every forward draws the same numbers.
    """
    params, states = _copies(layer.params for layer in layers), _copies(layer.state for layer in layers)
    generators = [(layer.rng, layer.rng.bit_generator.state) for layer in layers if layer.rng is not None]
    for arrays, key, value in params:
        if value.size and np.ptp(value) == 0:
            arrays[key] += 0.2 * rng.normal(size=value.shape)
    for arrays, key, value in states:
        if value.dtype.kind == "f":  # upwards only: a variance must stay positive
            arrays[key] += 0.2 * np.abs(rng.normal(size=value.shape))
    disturbed = _copies(layer.state for layer in layers)
    try:
        yield lambda: _put_back(disturbed, generators)
    finally:
        _put_back(params + states, generators)


def _copies(dicts):
    return [(arrays, key, array.copy()) for arrays in dicts for key, array in arrays.items()]


def _put_back(copies, generators):
    for arrays, key, value in copies:
        arrays[key][...] = value
    for generator, state in generators:
        generator.bit_generator.state = state
