"""Initial weights: Glorot and He, uniform and normal, plus zeros and ones.

Every initializer is a function ``(shape, rng, dtype=float32) -> ndarray``.  Draws are made in float64 and then
rounded, so a float32 layer starts from the rounded weights of the float64 layer with the same seed.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from tinycnn.kernels.aligned import aligned_empty

# Draws held in float64 at once: the first dense layer of a big network must not need three times its own memory.
_BLOCK = 1 << 18

# Standard deviation of a unit normal cut at two standard deviations.
_CUT_STD = 0.87962566103423978

Shape = tuple[int, ...]
Initializer = Callable[..., np.ndarray]  # (shape, rng, dtype) -> array


def fans(shape: Shape) -> tuple[int, int]:
    """Number of inputs and outputs that one weight array connects, ``(fan_in, fan_out)``.

    A dense kernel is ``(in, out)``; a convolution kernel HWIO, ``(kh, kw, in, out)``, has the ``kh * kw``
    positions of its window in both fans.  A vector counts its length for both, as in Keras.

    >>> fans((128, 3)), fans((3, 5, 8, 16))
    ((128, 3), (120, 240))

    Raises
    ------
    ValueError
        If `shape` is empty or has an axis smaller than 1.
    """
    shape = tuple(int(n) for n in shape)
    if not shape or min(shape) < 1:
        raise ValueError(f"cannot initialise weights of shape {shape}: every axis must be at least 1")
    if len(shape) == 1:
        return shape[0], shape[0]
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def glorot_uniform(shape: Shape, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Uniform on ``[-a, a]`` with ``a = sqrt(6 / (fan_in + fan_out))``, Keras's default for kernels.

    Keeps the variance of activations and of gradients equal from layer to layer when the activation is
    roughly linear around zero.

    Parameters
    ----------
    shape : tuple of int
        Kernel shape, ``(in, out)`` or HWIO.
    rng : numpy.random.Generator
        Source of the draws.
    dtype : numpy dtype
        Type of the result.

    References
    ----------
    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.

    Examples
    --------
    >>> kernel = glorot_uniform((3, 3, 8, 16), np.random.default_rng(0))
    >>> kernel.dtype, bool(abs(kernel).max() <= (6 / (9 * 8 + 9 * 16)) ** 0.5)
    (dtype('float32'), True)
    """
    return _uniform(shape, rng, dtype, variance=2 / sum(fans(shape)))


def glorot_normal(shape: Shape, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Normal of variance ``2 / (fan_in + fan_out)``, cut at two standard deviations as in Keras.

    Arguments and source as for `glorot_uniform`.

    >>> glorot_normal((4, 2), np.random.default_rng(0)).shape
    (4, 2)
    """
    return _truncated_normal(shape, rng, dtype, variance=2 / sum(fans(shape)))


def he_uniform(shape: Shape, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Uniform on ``[-a, a]`` with ``a = sqrt(6 / fan_in)``: variance ``2 / fan_in``.

    The factor 2 makes up for ReLU, which zeroes half of its inputs.  Arguments as for `glorot_uniform`.

    References
    ----------
    He, Zhang, Ren and Sun, Delving deep into rectifiers, 2015.

    Examples
    --------
    >>> bool(abs(he_uniform((6, 50), np.random.default_rng(0))).max() <= 1)
    True
    """
    return _uniform(shape, rng, dtype, variance=2 / fans(shape)[0])


def he_normal(shape: Shape, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Normal of variance ``2 / fan_in``, cut at two standard deviations as in Keras.

    Arguments as for `glorot_uniform`, source as for `he_uniform`.

    >>> he_normal((3, 3, 2, 5), np.random.default_rng(0), np.float64).dtype
    dtype('float64')
    """
    return _truncated_normal(shape, rng, dtype, variance=2 / fans(shape)[0])


def zeros(shape: Shape, rng: np.random.Generator | None = None, dtype: DTypeLike = np.float32) -> np.ndarray:
    """All zeros; `rng` is accepted so that every initializer is called alike.

    >>> zeros((2,))
    array([0., 0.], dtype=float32)
    """
    return np.zeros(shape, dtype)


def ones(shape: Shape, rng: np.random.Generator | None = None, dtype: DTypeLike = np.float32) -> np.ndarray:
    """All ones; `rng` is accepted so that every initializer is called alike.

    >>> ones((2,))
    array([1., 1.], dtype=float32)
    """
    return np.ones(shape, dtype)


_BY_NAME = {f.__name__: f for f in (glorot_uniform, glorot_normal, he_uniform, he_normal, zeros, ones)}


def get(name_or_callable: str | Initializer) -> Initializer:
    """The initializer called `name_or_callable`, or that callable itself.

    >>> get("he_normal") is he_normal
    True

    Raises
    ------
    ValueError
        If it is neither callable nor one of the known names, which the message lists.
    """
    if callable(name_or_callable):
        return name_or_callable
    if not isinstance(name_or_callable, str) or name_or_callable not in _BY_NAME:
        raise ValueError(
            f"unknown initializer {name_or_callable!r}: use one of {', '.join(sorted(_BY_NAME))}, "
            "or a function (shape, rng, dtype) -> array"
        )
    return _BY_NAME[name_or_callable]


def _uniform(shape: Shape, rng: np.random.Generator, dtype: DTypeLike, variance: float) -> np.ndarray:
    limit = math.sqrt(3 * variance)
    return _fill(shape, dtype, lambda size: rng.uniform(-limit, limit, size))


def _truncated_normal(shape: Shape, rng: np.random.Generator, dtype: DTypeLike, variance: float) -> np.ndarray:
    std = math.sqrt(variance) / _CUT_STD

    def draw(size: int) -> np.ndarray:
        z = rng.standard_normal(size)
        while (outside := np.flatnonzero(np.abs(z) > 2)).size:
            z[outside] = rng.standard_normal(outside.size)
        return std * z

    return _fill(shape, dtype, draw)


def _fill(shape: Shape, dtype: DTypeLike, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    weights = aligned_empty(shape, dtype)
    flat = weights.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        block[...] = draw(block.size)
    return weights
