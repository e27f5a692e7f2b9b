"""How a convolution or a pooling window reaches over the edges: the ``padding=`` argument, and zeros per side."""

from typing import Any, Literal

import numpy as np

from tinycnn.arguments import MOST, brief
from tinycnn.layers.base import Layer

Padding = Literal["same", "valid"] | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]
Axis = Literal["same", "valid"] | tuple[int, int]


def check_padding(padding: Any, where: str) -> tuple[Axis, Axis]:
    """``"same"``, ``"valid"``, an int, (rows, columns), or ((top, bottom), (left, right)) -> one entry per axis.

    >>> check_padding(1, "Conv2D"), check_padding(((0, 2), (1, 1)), "Conv2D")
    (((1, 1), (1, 1)), ((0, 2), (1, 1)))

    Raises
    ------
    ValueError
        For anything else, `where` in front.
    """
    if isinstance(padding, str) and padding in ("same", "valid"):
        return padding, padding  # type: ignore[return-value]
    whole = (int, np.integer)
    pairs = (padding, padding) if isinstance(padding, whole) and not isinstance(padding, bool) else padding
    try:
        rows, columns = ((p, p) if isinstance(p, whole) else tuple(int(q) for q in p) for p in pairs)
        fits = not isinstance(padding, str) and len(rows) == len(columns) == 2
        if not fits or min(*rows, *columns) < 0 or max(*rows, *columns) > MOST:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f'{where}: padding must be "same", "valid", an int >= 0, (rows, columns) or ((top, bottom), '
            f"(left, right)), got {brief(padding)}"
        ) from None
    return rows, columns  # type: ignore[return-value]


def resolve_padding(padding: Axis, size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros before and after one axis: TensorFlow's rule for "same" (the odd zero goes last), 0 for "valid".

    "same" gives ``ceil(size / stride)`` outputs, so as many zeros as the last of their windows lacks.

    >>> resolve_padding("same", 5, 3, 2), resolve_padding("same", 6, 3, 2), resolve_padding((2, 1), 5, 3, 1)
    ((1, 1), (0, 1), (2, 1))
    """
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
        return total // 2, total - total // 2
    return padding


def check_image(layer: Layer, input_shape: tuple[int, ...]) -> None:
    """Refuse what is no image.

    Raises
    ------
    ValueError
        Naming the layer and the shape.
    """
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 3:
        raise ValueError(f"{layer.where()} needs inputs of shape (height, width, channels), got {brief(input_shape)}")
