"""Branches side by side over one input, whose outputs are laid beside each other or added."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import listed, one_of
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.block import Block, spec
from tinycnn.layers.registry import restore

Branch = Layer | dict[str, Any] | Sequence[Layer | dict[str, Any]]


class Parallel(Block):
    """Branches that all see the same input; their outputs are concatenated along the channels, or added.

    ::

        concat   forward    y = act([F_1(x), F_2(x), ...])                    along the last axis
                 backward   g = act'(dL/dy) = [g_1, g_2, ...],   dL/dx = F_1'(g_1) + F_2'(g_2) + ...
        add      forward    y = act(F_1(x) + F_2(x) + ...)
                 backward   g = act'(dL/dy),                     dL/dx = F_1'(g) + F_2'(g) + ...

    A dash is a branch's backward.  By nesting, and without a graph, it draws the networks whose paths fork and meet: an
    Inception module has four branches, a dense block's layer is ``Parallel([[], [BatchNorm(), ReLU(), Conv2D(...)]])``,
    a U-Net ``[..., Parallel([[], [MaxPool2D(), *deeper, UpSample2D()]]), ...]``, which skips what lies deeper.

    Parameters
    ----------
    branches : list
        Two or more; each a layer, or a list of layers in turn.  The output of an empty list is the input.
    merge : "concat" or "add"
    activation : str or Layer, optional
        Applied to what is merged.

    Names and ``trainable`` as in `Block`.

    Raises
    ------
    ValueError
        For fewer than two branches, another `merge`, or a layer that appears twice; on building, if what the branches
        give cannot be merged.

    References
    ----------
    Szegedy et al., Going deeper with convolutions, 2015; Huang, Liu, van der Maaten and Weinberger, Densely connected
    convolutional networks, 2017; Ronneberger, Fischer and Brox, U-Net, 2015.

    Examples
    --------
    >>> from tinycnn.layers import Conv2D, MaxPool2D
    >>> block = Parallel([Conv2D(4, 1), [Conv2D(2, 1), Conv2D(8, 3, padding="same")], []])
    >>> block.forward(np.ones((1, 5, 6, 3), np.float32)).shape
    (1, 5, 6, 15)
    """

    def __init__(
        self,
        branches: Sequence[Branch],
        merge: str = "concat",
        activation: str | Layer | dict[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        self.branches = [
            [restore(layer) for layer in listed([branch] if isinstance(branch, (Layer, dict)) else branch, "a branch")]
            for branch in listed(branches, "Parallel: branches")
        ]
        if len(self.branches) < 2:
            raise ValueError(f"Parallel: needs at least two branches, got {len(self.branches)}")
        one_of(merge, "Parallel: merge", ("concat", "add"))
        self.merge = merge
        super().__init__(self.branches, activation, name)

    def config(self) -> dict[str, Any]:
        branches = [[spec(layer) for layer in branch] for branch in self.branches]
        return {"branches": branches, "merge": self.merge, "activation": spec(self.activation)}

    def output_shape_of(self, input_shape: Shape) -> Shape:
        shapes = self.path_shapes(input_shape)
        alike = {shape[:-1] for shape in shapes} if self.merge == "concat" else set(shapes)
        if len(alike) > 1:
            wanted = "rows and columns" if self.merge == "concat" else "shape"
            raise ValueError(f"{self.where()}: branches give {shapes} for input {tuple(input_shape)}, not one {wanted}")
        channels = sum(shape[-1] for shape in shapes) if self.merge == "concat" else shapes[0][-1]
        shape = (*shapes[0][:-1], channels)
        return shape if self.activation is None else tuple(self.activation.output_shape_of(shape))

    def create(self, input_shape: Shape) -> None:
        super().create(input_shape)
        self._ends = list(accumulate(shape[-1] for shape in self.path_shapes(input_shape)))[:-1]

    def forward_linear(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """What the branches give, merged."""
        x = self._enter(x)
        outputs = [self.along(branch, x, training) for branch in self.branches]
        y = self._output()
        return np.concatenate(outputs, axis=-1, out=y) if self.merge == "concat" else _sum(outputs, y)

    def backward_linear(self, grad: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """The branches' gradients to the input, added; None where nobody asks for it."""
        grad = self._enter_backward(grad)
        concat = self.merge == "concat"
        parts = np.split(grad, self._ends, axis=-1) if concat else [grad] * len(self.branches)
        grads = [self.back(branch, part, input_grad) for branch, part in zip(self.branches, parts, strict=True)]
        return _sum(grads, self._input_gradient(grad)) if input_grad else None


def _sum(arrays: Sequence[np.ndarray], out: np.ndarray) -> np.ndarray:
    np.add(arrays[0], arrays[1], out=out)
    for array in arrays[2:]:
        out += array
    return out
