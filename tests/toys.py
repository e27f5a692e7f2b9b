"""Plain layers that make models of a known kind, so that tests of models and training lean on no other file."""

import numpy as np

from tinycnn.layers.base import Layer
from tinycnn.layers.registry import describe
from tinycnn.layers.weighted import Weighted
from tinycnn.model import Sequential


class Affine(Weighted):
    """``y = x W + b`` over flattened inputs."""

    def __init__(self, units, activation=None, name=None):
        super().__init__(activation, name=name)
        self.units = units

    def config(self):
        return {"units": self.units, "activation": describe(self.activation)}

    def output_shape_of(self, input_shape):
        return (self.units,)

    def create(self, input_shape):
        size = int(np.prod(input_shape))
        self.params["kernel"] = (self.rng.normal(size=(size, self.units)) / np.sqrt(size)).astype(self.dtype)
        self.params["bias"] = np.zeros(self.units, self.dtype)
        if self.activation:
            self.activation.build(self.output_shape, self.rng, self.dtype)

    def forward(self, x, training=False):
        z = self.forward_linear(x)
        return self.activation.forward(z) if self.activation else z

    def backward(self, grad_y, input_grad=True):
        return self.backward_linear(self.activation.backward(grad_y) if self.activation else grad_y, input_grad)

    def forward_linear(self, x, training=False):
        x = self._enter(x)
        self.x = x.reshape(len(x), -1)
        return np.add(np.einsum("ni,io->no", self.x, self.params["kernel"]), self.params["bias"], out=self._output())

    def backward_linear(self, grad_y, input_grad=True):
        grad_y = self._enter_backward(grad_y)
        self.grads["kernel"][...] = np.einsum("ni,no->io", self.x, grad_y)
        self.grads["bias"][...] = grad_y.sum(axis=0)
        if not input_grad:
            return None
        return np.einsum("no,io->ni", grad_y, self.params["kernel"]).reshape(-1, *self.input_shape)


class Bend(Layer):
    """``y = tanh(x)``, smooth and without parameters."""

    def forward(self, x, training=False):
        self.y = np.tanh(self._enter(x))
        return self.y

    def backward(self, grad_y, input_grad=True):
        return self._enter_backward(grad_y) * (1 - self.y**2)


class Noise(Layer):
    """Multiplies by random numbers in training: a user of the model's generator, as dropout is."""

    def forward(self, x, training=False):
        x = self._enter(x)
        self.factor = self.rng.uniform(0.5, 1.5, x.shape).astype(self.dtype) if training else self.dtype.type(1)
        return x * self.factor

    def backward(self, grad_y, input_grad=True):
        return self._enter_backward(grad_y) * self.factor


class Pair(Layer):
    """Two layers in one, as a block has them."""

    def __init__(self, units, name=None):
        super().__init__(name)
        self.units = units
        self.inner = [Affine(units), Bend()]

    def config(self):
        return {"units": self.units}

    def sublayers(self):
        return self.inner

    def output_shape_of(self, input_shape):
        return (self.units,)

    def create(self, input_shape):
        for layer in self.inner:
            input_shape = layer.build(input_shape, self.rng, self.dtype)

    def forward(self, x, training=False):
        x = self._enter(x)
        for layer in self.inner:
            x = layer.forward(x, training)
        return x

    def backward(self, grad_y, input_grad=True):
        for layer in reversed(self.inner):
            grad_y = layer.backward(grad_y)
        return grad_y


def spots(n, shape=(4, 4, 1), classes=3, seed=0):
    """Noisy uint8 images with one bright row per class, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    images = rng.integers(0, 100, (n, *shape))
    images[np.arange(n), labels] += 120
    return images.astype(np.uint8), labels


def small_model(seed=0):
    model = Sequential([Affine(5), Bend(), Pair(4), Noise(), Affine(3, activation="softmax")], seed=seed)
    model.build((2, 3, 1))
    return model


def batch(n=4, dtype=np.float32):
    return np.random.default_rng(1).normal(size=(n, 2, 3, 1)).astype(dtype)
