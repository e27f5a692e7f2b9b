"""What layers with a kernel share: arguments, weights, and an activation that can be taken off."""

import numpy as np
import pytest

from tinycnn.layers import Conv2D, Conv2DTranspose, Dense
from tinycnn.layers.weighted import Weighted

LAYERS = {
    "dense": (lambda **options: Dense(4, **options), (5,)),
    "conv": (lambda **options: Conv2D(4, 3, **options), (5, 6, 2)),
    "transposed": (lambda **options: Conv2DTranspose(4, 3, strides=2, **options), (5, 6, 2)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_biases_and_initializers_are_what_was_asked_for(kind):
    make, shape = LAYERS[kind]
    layer = make(use_bias=False, kernel_initializer="ones")
    layer.build(shape)
    assert layer.params.keys() == {"kernel"} and (layer.params["kernel"] == 1).all()
    layer = make(bias_initializer="ones")
    layer.build(shape)
    assert layer.params["bias"].tolist() == [1] * 4 and layer.params["kernel"].std() > 0
    layer.initialize = False
    layer.build(shape)
    assert not layer.params["kernel"].any() and not layer.params["bias"].any()


@pytest.mark.parametrize("activation", [None, "relu", "tanh", "leaky_relu"])
@pytest.mark.parametrize("kind", LAYERS)
def test_the_linear_part_and_the_activation_make_the_whole(kind, activation):
    make, shape = LAYERS[kind]
    layer, x = make(activation=activation), np.random.default_rng(0).normal(size=(2, *shape))
    y = layer.forward(x).copy()
    np.testing.assert_array_equal(layer.last_output, y)
    upstream = np.random.default_rng(1).normal(size=y.shape)
    grad_x, grad_kernel = layer.backward(upstream).copy(), layer.grads["kernel"].copy()
    linear = layer.forward_linear(x)
    act = type(layer.activation)(**layer.activation.config()) if activation else None
    np.testing.assert_allclose(y, act.forward(linear) if act else linear, rtol=1e-12)
    grad = act.backward(upstream) if act else upstream
    np.testing.assert_allclose(layer.backward_linear(grad), grad_x, rtol=1e-12)
    np.testing.assert_allclose(layer.grads["kernel"], grad_kernel, rtol=1e-12)


def test_a_subclass_has_to_write_the_linear_part():
    for call in (Weighted().forward_linear, Weighted().backward_linear):
        with pytest.raises(NotImplementedError):
            call(np.zeros((1, 1)))
