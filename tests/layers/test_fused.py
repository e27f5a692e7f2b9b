"""Layers that run as one step; convolution and max-pool are in test_steps.py."""

import numpy as np
import pytest

from tinycnn.inside import trace
from tinycnn.kernels.sets import set_kernels
from tinycnn.layers import BatchNorm, Conv2D, Dense, Flatten, MaxPool2D, ReLU, Residual
from tinycnn.layers.fused import steps_of
from tinycnn.model import Sequential


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def network(dtype=np.float32, bias=True):
    conv = lambda n, **options: Conv2D(n, 3, padding="same", use_bias=bias, bias_initializer="he_normal", **options)  # noqa: E731
    branch = [conv(19), BatchNorm(), ReLU(), conv(19), BatchNorm()]
    shortcut = [Conv2D(19, 1, use_bias=False), BatchNorm()]
    layers = [conv(16), BatchNorm(), ReLU(), MaxPool2D(2), Residual(branch, shortcut, activation="relu")]
    layers += [conv(5, activation="relu"), BatchNorm(), ReLU(), conv(16), BatchNorm(), Flatten(), Dense(4)]
    model = Sequential([*layers, BatchNorm(), ReLU()])
    model.build((8, 6, 3), dtype)
    for i, (key, param, _) in enumerate(model.parameters()):
        if "norm" in key:
            param += normal(*param.shape, seed=i, dtype=dtype)  # some gammas are negative
    return model


def one_by_one(model):
    model.replan()
    model.steps = steps_of(model.layers, fuse=False)
    for layer in model.all_layers():
        layer.fuse = False
    return model


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_gives_the_same_bits_as_one_after_the_other(kernels, dtype):
    together, apart = network(dtype), one_by_one(network(dtype))
    for step in range(2):
        x = normal(3, 8, 6, 3, seed=step, dtype=dtype)
        y = together.forward(x, training=True)
        assert np.array_equal(y, apart.forward(x, training=True))
        grad = normal(*y.shape, seed=9, dtype=dtype)
        assert np.array_equal(together.backward(grad), apart.backward(grad))
        for (key, _, ours), (_, _, theirs) in zip(together.parameters(), apart.parameters(), strict=True):
            assert np.array_equal(ours, theirs), key
    for key, ours in together.get_weights().items():
        assert np.array_equal(ours, apart.get_weights()[key]), key


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_a_prediction_equals_the_layers_to_rounding(kernels, dtype, tolerance, bias):
    model = network(dtype, bias)
    x = normal(4, 8, 6, 3, dtype=dtype)
    model.forward(x, training=True)  # moments that are not 0 and 1
    layer_by_layer = model.forward(x)
    predicted = model.forward(x, keep=False)
    assert np.allclose(predicted, layer_by_layer, rtol=0, atol=tolerance * abs(layer_by_layer).max())
    model.layers[0].params["kernel"] *= 2  # nothing is kept from one prediction to the next
    assert np.allclose(model.forward(x, keep=False), model.forward(x), rtol=0, atol=10 * tolerance)


def test_what_fuses():
    with set_kernels("fast"):
        body = network().layers
        assert [len(step.layers) for step in steps_of(body)] == [1, 2, 1, 1, 1, 2, 1, 1, 1, 1, 2]
        assert [len(step.layers) for step in steps_of(body, predicts=True)] == [4, 1, 1, 2, 2, 1, 1, 2]
        assert all(len(step.layers) == 1 for step in steps_of(body, fuse=False, predicts=True))
    with set_kernels("reference"):
        assert all(len(step.layers) == 1 for step in steps_of(body, predicts=True))


def test_a_layer_without_an_output_of_its_own_says_so():
    with set_kernels("fast"):
        model = network()
        y = model.forward(normal(2, 8, 6, 3))
        assert np.array_equal(model.layers[-1].last_output, y)
        with pytest.raises(RuntimeError, match="ran in one step with its neighbour"):
            _ = model.layers[-2].last_output


def test_a_trace_has_the_numbers_of_every_layer_of_a_block():
    with set_kernels("fast"):
        model = network()
        x = normal(2, 8, 6, 3)
        seen = trace(model, x)
        assert all(record.output is not None for record in seen.records.values())
        assert np.array_equal(seen.output, model.forward(x))
        assert model.layers[4].fuse
