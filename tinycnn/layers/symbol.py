"""A place in a network that is still being drawn: what ``layer(x)`` gives before there are numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinycnn.layers.base import Layer


@dataclass(frozen=True, eq=False)
class Symbol:
    """The output of `layer` for `parents`, as a node of the drawing; `tinycnn.keras.Model` makes a network of it.

    Attributes
    ----------
    layer : Layer, or str
        What is applied here; "input", "add" or "concatenate" where no layer is.
    parents : sequence of Symbol
        None of an input, two or more of a sum or concatenation, else one.
    shape : tuple of int
        Of an input, without the batch axis; empty elsewhere.
    """

    layer: "Layer | str"
    parents: "Sequence[Symbol]" = ()
    shape: tuple[int, ...] = ()
