"""Residual block: a branch of layers added to a shortcut around it."""

import itertools

import numpy as np

from tinycnn.layers.activation import describe, get, restore
from tinycnn.layers.base import Layer, snake_case


class Residual(Layer):
    """A branch of layers and a shortcut around it, added.

    ::

        forward    y = act(S(x) + F(x))
        backward   g = act'(dL/dy),   dL/dx = S'(g) + F'(g)

    ``F`` is `layers` in turn, ``S`` is `shortcut` in turn or the identity, and a dash is the layer's backward.
    The identity carries the gradient past ``F`` unchanged, which is what lets deep networks train.

    Parameters
    ----------
    layers : list of Layer
        The branch ``F``, at least one layer.
    shortcut : list of Layer, optional
        ``S``; needed where ``F`` changes the shape, usually one 1x1 convolution.
    activation : str or Layer, optional
        Applied to the sum.

    On building, each layer gets a name with the block's in front (``residual/conv2d``, ``residual/conv2d_1``,
    ...), so that names are unique in a model whose blocks have unique names.  Setting ``trainable``
    sets it for every layer of the block.  A layer can also be given as the dict that `config` nests,
    ``{"class": name, "config": {...}}``.

    Raises
    ------
    ValueError
        If `layers` is empty or a layer appears twice; on building, if branch and shortcut differ in shape.

    References
    ----------
    He, Zhang, Ren and Sun, Deep residual learning for image recognition, 2016.

    Examples
    --------
    >>> from tinycnn.layers.activation import LeakyReLU
    >>> block = Residual([LeakyReLU(0.5)], activation="relu")
    >>> block.forward(np.float32([[-2, 2]]))
    array([[0., 4.]], dtype=float32)
    >>> block.backward(np.float32([[1, 1]]))
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, layers, shortcut=None, activation=None, name=None):
        self.layers, self.shortcut, self.activation = [], None, None
        super().__init__(name)
        self.layers = [restore(layer) for layer in layers]
        self.shortcut = [restore(layer) for layer in shortcut] if shortcut else None
        self.activation = get(activation)
        if not self.layers:
            raise ValueError("Residual: the branch needs at least one layer")
        every = self.sublayers()
        if len({id(layer) for layer in every}) < len(every):
            raise ValueError("Residual: a layer appears twice; each place needs a layer of its own")
        self._given_names = [layer.name for layer in every]

    def sublayers(self):
        return [*self.layers, *(self.shortcut or []), *([self.activation] if self.activation else [])]

    @property
    def trainable(self):
        """False freezes every layer of the block."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = value
        for layer in self.sublayers():
            layer.trainable = value

    def config(self):
        # Only names given by the caller: those made by build follow from the block's.
        specs = [
            {**describe(layer), "name": given} for layer, given in zip(self.sublayers(), self._given_names, strict=True)
        ]
        for spec in specs:
            if spec["name"] is None:
                del spec["name"]
        split = len(self.layers)
        return {
            "layers": specs[:split],
            "shortcut": specs[split : split + len(self.shortcut)] if self.shortcut else None,
            "activation": specs[-1] if self.activation else None,
        }

    def build(self, input_shape, rng=None, dtype=np.float32):
        # Before anything can fail, so that errors name the layer.
        self._name_sublayers()
        return super().build(input_shape, rng, dtype)

    def _name_sublayers(self):
        prefix = f"{self.name}/" if self.name else ""
        every = list(zip(self.sublayers(), self._given_names, strict=True))
        for layer, given in every:
            layer.index = self.index
            if given:
                layer.name = prefix + given
            elif layer.name and not layer.name.startswith(prefix):
                layer.name = None  # from an earlier build under another name
        taken = {layer.name for layer, _ in every}
        for layer, _ in every:
            stem = prefix + snake_case(type(layer).__name__)
            candidates = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(1)))
            layer.name = layer.name or next(name for name in candidates if name not in taken)
            taken.add(layer.name)

    def output_shape_of(self, input_shape):
        branch = through = tuple(input_shape)
        for layer in self.layers:
            branch = tuple(layer.output_shape_of(branch))
        for layer in self.shortcut or []:
            through = tuple(layer.output_shape_of(through))
        if branch != through:
            raise ValueError(
                f"{self.where()}: the branch gives {branch} and the shortcut {through} for input "
                f"{tuple(input_shape)}; give a shortcut with the branch's filters and strides"
            )
        return branch if self.activation is None else tuple(self.activation.output_shape_of(branch))

    def create(self, input_shape):
        for path in (self.layers, self.shortcut or []):
            shape = input_shape
            for layer in path:
                shape = layer.build(shape, self.rng, self.dtype)
        if self.activation:
            self.activation.build(shape, self.rng, self.dtype)

    def forward(self, x, training=False):
        """``act(S(x) + F(x))``."""
        branch = shortcut = self._enter(x)
        for layer in self.layers:
            branch = layer.forward(branch, training)
        for layer in self.shortcut or []:
            shortcut = layer.forward(shortcut, training)
        y = np.add(shortcut, branch, out=self._buffer("y", branch.shape))
        return self.activation.forward(y, training) if self.activation else y

    def backward(self, grad_y):
        """``S'(g) + F'(g)`` with ``g = act'(grad_y)``; fills the grads of every layer."""
        grad = self._enter_backward(grad_y)
        if self.activation:
            grad = self.activation.backward(grad)
        branch = shortcut = grad
        for layer in reversed(self.layers):
            branch = layer.backward(branch)
        for layer in reversed(self.shortcut or []):
            shortcut = layer.backward(shortcut)
        return np.add(shortcut, branch, out=self._buffer("grad_x", branch.shape))
