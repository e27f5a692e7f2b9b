"""What layers with a kernel share: arguments, weights, and an activation that can be taken off."""

import numpy as np
import pytest

from tinycnn.layers import Conv2D, Conv2DTranspose, Dense, Flatten, Residual
from tinycnn.layers.weighted import Weighted
from tinycnn.model import Sequential

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


def test_gradients_written_over_others_are_those_of_a_pass_that_keeps_all(kernels):
    """A training step writes an activation's gradient over the one it reads, unless a block's branches share that."""

    def conv(activation):
        return Conv2D(3, 3, padding="same", activation=activation)

    residual = Residual([conv("relu"), conv("tanh")], [conv("sigmoid")])
    model = Sequential([conv("tanh"), residual, conv("relu"), Flatten(), Dense(4, activation="tanh")])
    model.build((5, 6, 3))
    x, grad = (np.random.default_rng(i).normal(size=s).astype(np.float32) for i, s in enumerate([(2, 5, 6, 3), (2, 4)]))
    given = grad.copy()
    model.forward(x, training=True)
    model.backward(grad)
    kept = [array.copy() for _, _, array in model.parameters()]
    model.forward(x, training=True)
    model.backward(grad, input_grad=False)
    assert all(np.array_equal(a, b) for a, (_, _, b) in zip(kept, model.parameters(), strict=True))
    assert np.array_equal(grad, given)
