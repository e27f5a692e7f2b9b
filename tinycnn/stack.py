"""What a model is made of: layers in a row, their names and weights, and the file that keeps them."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tinycnn.arguments import count, function, listed
from tinycnn.foreign import Answers
from tinycnn.layers.activation import ACTIVATIONS, Softmax
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.naming import name_layers
from tinycnn.notebook import display, in_notebook
from tinycnn.npz import read_npz, write_npz
from tinycnn.serialization import Model, describe_model, load_model, load_weights
from tinycnn.summary import summary_html, summary_text
from tinycnn.walk import copy_weights, trainable, walk


class Stack(Answers):
    """Layers in a row, before anything runs: `Sequential` adds the passes and the training.

    Parameters, attributes and errors as of `tinycnn.model.Sequential`.

    Examples
    --------
    >>> from tinycnn.layers import Dense, ReLU
    >>> stack = Stack([Dense(4), ReLU()])
    >>> [layer.name for layer in stack.all_layers()], stack.built
    (['dense', 're_lu'], False)
    """

    def __init__(self, layers: Iterable[Layer], seed: int | None = 0, name: str = "sequential") -> None:
        self.layers = listed(layers, "layers")
        self.seed = np.random.SeedSequence().entropy if seed is None else count(seed, "seed", most=2**128 - 1)
        self.name = name
        self.metadata: dict[str, Any] = {}
        self.untrained = True
        self.rng = np.random.default_rng(self.seed)
        self.input_shape: Shape = None  # type: ignore[assignment]  # these three until the model is built
        self.output_shape: Shape = None  # type: ignore[assignment]
        self.dtype: np.dtype = None  # type: ignore[assignment]
        if not self.layers:
            raise ValueError("Sequential needs at least one layer")
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise ValueError(f"layer {i} is {layer!r} of type {type(layer).__name__}, not a tinycnn layer")
        if len({id(layer) for layer in self.layers}) < len(self.layers):
            raise ValueError("one layer object appears twice; each keeps what its backward needs, so make two")
        name_layers(self.layers)

    @property
    def built(self) -> bool:
        """Whether shapes and parameters exist."""
        return self.output_shape is not None

    @property
    def ends_in_softmax(self) -> bool:
        """Whether the last layer is a softmax or a layer with one as its activation."""
        return isinstance(self.last_activation, Softmax)

    @property
    def last_activation(self) -> Layer | None:
        """The activation that the last layer is or applies, if any."""
        last = self.layers[-1]
        return last if isinstance(last, ACTIVATIONS) else last.activation

    @property
    def trainable(self) -> bool:
        """Whether any layer trains; setting it sets it for every layer."""
        return any(layer.trainable for layer in self.all_layers())

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.all_layers():
            layer.trainable = bool(value)

    def all_layers(self) -> Iterator[Layer]:
        """Yield every layer, each followed by the layers inside it."""
        for layer in self.layers:
            yield from walk(layer)

    def parameters(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield ``(key, parameter, gradient)`` for what the optimizer may change; keys are ``conv2d/kernel``.

        A layer with ``trainable = False`` is left out, with its sublayers.
        """
        for layer in self.layers:
            yield from trainable(layer)

    @property
    def count_params(self) -> int:
        """All saved scalars, trainable or not."""
        return sum(layer.count_params for layer in self.layers)

    def get_layer(self, name: str) -> Layer:
        """The layer called `name`; one inside another is called ``residual/conv2d``.

        Raises
        ------
        ValueError
            Listing the names there are.
        """
        layers = {str(layer.name): layer for layer in self.all_layers()}
        if not isinstance(name, str) or name not in layers:
            raise ValueError(f"no layer {name!r} in model '{self.name}'; it has {', '.join(layers)}")
        return layers[name]

    def generators(self) -> dict[str, np.random.Generator]:
        """Every random generator the model draws from, by name, so that a checkpoint can keep their states."""
        found = {"model": self.rng}
        for layer in self.all_layers():
            for key, value in vars(layer).items():
                if isinstance(value, np.random.Generator) and all(value is not other for other in found.values()):
                    found[f"{layer.name}/{key}"] = value
        return found

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and running statistics, ``{"conv2d/kernel": ndarray, ...}``."""
        return {key: array.copy() for key, array in self._weights().items()}

    def set_weights(self, weights: Mapping[str, np.ndarray], source: str = "the given weights") -> None:
        """Copy `weights` (keys and shapes as `get_weights` gives) into the model; all or nothing.

        Raises
        ------
        ValueError
            Naming the layer and both shapes at the first misfit, or the keys missing or left over.
        """
        copy_weights(weights, self._weights(), source)
        self.untrained = False

    def _weights(self) -> dict[str, np.ndarray]:
        self._need_build("its weights exist")
        return {
            f"{layer.name}/{key}": array
            for layer in self.all_layers()
            for key, array in (layer.params | layer.state).items()
        }

    def summary(self, print_fn: Callable[[str], Any] = print, line_length: int | None = None) -> None:
        """Print the layers, their output shapes and parameter counts, as Keras does; in a notebook, show them.

        Parameters
        ----------
        print_fn : callable
            Called once with the whole text.
        line_length : int, optional
            Width of the table; else 88 or the terminal's.

        Raises
        ------
        ValueError
            If the model is not built.
        """
        self._need_build("it can be summed up")
        if print_fn is print and line_length is None and in_notebook(sys.stdout):
            return display(self)
        function(print_fn, "print_fn")
        text = summary_text(self, line_length)
        print_fn(text[:-1] if print_fn is print else text)

    def __repr__(self) -> str:
        return f"Sequential([{', '.join(map(repr, self.layers))}], seed={self.seed}, name={self.name!r})"

    def _repr_html_(self) -> str:
        return summary_html(self)

    def architecture(self) -> dict[str, Any]:
        """What it takes to make this model again, weights aside, as a JSON-able dict."""
        self._need_build("it can be saved")
        return describe_model(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture, `metadata`, parameters and running statistics to one ``.npz`` at `path`, atomically.

        Raises
        ------
        OSError
            Naming `path`; an older file there stays whole.
        """
        write_npz(path, *self.contents())

    def contents(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What `save` writes: a JSON-able header, and the arrays by name (the model's own, not copies)."""
        header = {"architecture": self.architecture(), "metadata": self.metadata}
        return header, {f"weights/{key}": array for key, array in self._weights().items()}

    @classmethod
    def load(  # type: ignore[misc]  # what is loaded has passes too: the class is Sequential or one of its own
        cls: type[Model], path: str | os.PathLike[str], allow_nonfinite: bool = False
    ) -> Model:
        """The model saved at `path`, built and with its weights; a checkpoint's file serves too.

        Parameters
        ----------
        path : path-like
        allow_nonfinite : bool
            Take weights that are NaN or infinite, to look into a training that exploded.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is damaged, not a model, or holds a layer class that is not imported or weights that are not
            finite; with what is wrong.
        """
        return load_model(cls, path, allow_nonfinite)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Copy the weights saved at `path` into this model of the same layers.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is damaged, or naming the first layer that differs and both shapes.
        """
        self._need_build("it can load weights")
        load_weights(self, read_npz(path)[1], path)

    def _need_build(self, until: str) -> None:
        if not self.built:
            raise ValueError(f"model '{self.name}' must be built before {until}: call build(input_shape) or forward(x)")
