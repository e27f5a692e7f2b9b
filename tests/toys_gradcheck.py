"""Layers with right gradients, into whose subclasses the tests of the checker put faults."""

import numpy as np

from tinycnn import reference
from tinycnn.layers.base import Layer


class Linear(Layer):
    """``y = x W + b`` in plain NumPy, right in every respect: faults are put into its subclasses."""

    def __init__(self, units=3, name=None):
        super().__init__(name)
        self.units = units

    def output_shape_of(self, input_shape):
        return (self.units,)

    def create(self, input_shape):
        self.params["kernel"] = self.rng.normal(size=(input_shape[0], self.units)).astype(self.dtype)
        self.params["bias"] = np.zeros(self.units, self.dtype)

    def forward(self, x, training=False):
        self.x = self._enter(x)
        return self.x @ self.params["kernel"] + self.params["bias"]

    def backward(self, grad_y):
        grad_y = self._enter_backward(grad_y)
        self.grads["kernel"] = self.x.T @ grad_y
        self.grads["bias"] = grad_y.sum(axis=0)
        return grad_y @ self.params["kernel"].T


class Rectifier(Layer):
    def forward(self, x, training=False):
        self.x = self._enter(x)
        return np.maximum(self.x, 0)

    def backward(self, grad_y):
        return self._enter_backward(grad_y) * (self.x > 0)


class Chain(Layer):
    """Layers one after another, as sublayers."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def sublayers(self):
        return list(self.parts)

    def output_shape_of(self, input_shape):
        for part in self.parts:
            input_shape = part.build(input_shape, self.rng, self.dtype)
        return input_shape

    def forward(self, x, training=False):
        x = self._enter(x)
        for part in self.parts:
            x = part.forward(x, training)
        return x

    def backward(self, grad_y):
        for part in reversed(self.parts):
            grad_y = part.backward(grad_y)
        return grad_y


class Network:
    """The part of a model's interface that the checker relies on."""

    def __init__(self, *layers):
        self.layers = list(layers)
        self.output_shape = None

    def build(self, input_shape, dtype=np.float32):
        for layer in self.layers:
            input_shape = layer.build(input_shape, np.random.default_rng(0), dtype)
        self.output_shape = input_shape

    def forward(self, x, training=False, logits=False):
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, grad, logits=False):
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return grad

    def parameters(self):
        for i, layer in enumerate(self.layers):
            for key in layer.params:
                yield f"{i}/{key}", layer.params[key], layer.grads[key]


class Correlate(Layer):
    """A convolution of 2 x 2 without padding, right in every respect, from the reference."""

    def __init__(self, filters=3, strides=(1, 1)):
        super().__init__()
        self.filters, self.strides = filters, strides

    def output_shape_of(self, input_shape):
        h, w = (reference.output_size(size, 2, step) for size, step in zip(input_shape[:2], self.strides, strict=True))
        return h, w, self.filters

    def create(self, input_shape):
        self.params["kernel"] = self.rng.normal(size=(2, 2, input_shape[2], self.filters)).astype(self.dtype)
        self.params["bias"] = np.zeros(self.filters, self.dtype)

    def forward(self, x, training=False):
        self.x = self._enter(x)
        return reference.conv2d_forward(self.x, self.params["kernel"], self.params["bias"], self.strides)

    def backward(self, grad_y):
        grad_y = self._enter_backward(grad_y)
        grad_x, kernel, bias = reference.conv2d_backward(self.x, self.params["kernel"], grad_y, self.strides)
        self.grads.update(kernel=kernel, bias=bias)
        return grad_x


def broken(base, name, change, **arguments):
    """A layer of `base` with one gradient changed: ``change(layer, its gradient, grad_y)``."""

    class Broken(base):
        def backward(self, grad_y):
            grads = {"input": super().backward(grad_y), **self.grads}
            grads[name] = np.array(change(self, grads[name], np.asarray(grad_y)))
            self.grads.update({key: value for key, value in grads.items() if key != "input"})
            return grads["input"]

    return Broken(**arguments)
