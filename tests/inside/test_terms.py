"""What a number is made of: sums, positions and weights of every kind of layer, forwards and backwards."""

import numpy as np
import pytest
from traced import batch, every_layer, other_layers

from tinycnn.inside.trace import trace
from tinycnn.layers.block import Block
from tinycnn.layers.dense import Dense
from tinycnn.layers.layer_norm import LayerNorm
from tinycnn.model import Sequential


def some_indices(shape, n=40):
    """The corners of the array and others at random."""
    rng = np.random.default_rng(0)
    corners = [(shape[0] - 1, *(0 for _ in shape[1:])), tuple(n - 1 for n in shape)]
    return corners + [tuple(int(rng.integers(n)) for n in shape) for _ in range(n)]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("network", [every_layer, other_layers])
def test_they_add_up_for_every_layer(network, dtype, training):
    seen = trace(network(dtype), *batch(dtype), training=training)
    for path, record in seen.records.items():
        bound = 1e-10 if dtype == np.float64 else 2e-5 * max(1, np.abs(record.pre_activation).max())
        for index in some_indices(record.pre_activation.shape):
            terms = seen.terms(path, index)
            assert abs(terms.total - record.pre_activation[index]) < bound, (path, index)
            assert terms.inputs.shape == (*terms.patch.shape, terms.inputs.shape[-1])
            assert terms.patch.shape == terms.weights.shape == terms.products.shape
        if record.grad_pre_activation is None:
            continue
        bound = 1e-10 if dtype == np.float64 else 2e-5 * np.abs(record.grad_input).max()
        for index in some_indices(record.input.shape):
            back = seen.back(path, index)
            assert abs(back.total - record.grad_input[index]) < bound, (path, index)
            np.testing.assert_array_equal(back.products, back.weights * back.gradients)


@pytest.mark.parametrize("network", [every_layer, other_layers])
def test_patches_and_gradients_are_those_of_the_record(network):
    seen = trace(network(), *batch())
    for path, record in seen.records.items():
        if isinstance(seen.layers[path], Block):
            continue
        for index in some_indices(record.pre_activation.shape, 10):
            terms = seen.terms(path, index)
            for at, value in zip(terms.inputs.reshape(-1, record.input.ndim), terms.patch.ravel(), strict=True):
                if all(0 <= i < n for i, n in zip(at, record.input.shape, strict=True)):
                    assert record.input[tuple(at)] == value
                else:
                    assert value == 0 or np.isnan(value)
        if record.grad_pre_activation is None:
            continue
        for index in some_indices(record.input.shape, 10):
            back = seen.back(path, index)
            assert len({tuple(at) for at in back.outputs.tolist()}) == len(back.outputs)
            for at, value in zip(back.outputs, back.gradients, strict=True):
                assert record.grad_pre_activation[tuple(at)] == value


@pytest.mark.parametrize("network", [every_layer, other_layers])
def test_what_goes_forward_by_a_weight_comes_back_by_it(network):
    seen = trace(network(), *batch())
    for path, record in seen.records.items():
        # A layer normalisation's line takes mean and variance as given; back goes what they have a part in too.
        if isinstance(seen.layers[path], (Block, LayerNorm)) or record.grad_pre_activation is None:
            continue
        for index in some_indices(record.input.shape, 15):
            back = seen.back(path, index)
            for output, weight in zip(back.outputs.tolist(), back.weights, strict=True):
                terms = seen.terms(path, tuple(output))
                assert np.isclose(terms.weights[(terms.inputs == index).all(axis=-1)].sum(), weight), (path, index)
    if network is other_layers:
        return
    # and none is left out: the weights of all outputs, summed, are those of all inputs
    for path in ("conv2d", "max_pooling2d", "conv2d_1", "conv2d_transpose_1", "max_pooling2d_1", "average_pooling2d"):
        x, y = seen[path].input[:1], seen[path].pre_activation[:1]
        forward = 0.0
        for index in np.ndindex(y.shape):
            terms = seen.terms(path, index)
            forward += terms.weights[((terms.inputs >= 0) & (terms.inputs < x.shape)).all(axis=-1)].sum()
        backward = sum(seen.back(path, index).weights.sum() for index in np.ndindex(x.shape))
        assert np.isclose(forward, backward), path


def test_terms_print_the_largest_products_first():
    model = Sequential([Dense(1, kernel_initializer="ones")])
    model.build((12,))
    text = str(trace(model, np.arange(12, dtype=np.float32)[None]).terms("dense", (0, 0)))
    lines = text.splitlines()
    assert lines[0].split() == ["input", "(0,", "11)", "11.00000", "*", "1.00000", "=", "11.00000"]
    assert len(lines) == 12 and lines[9] == "and 3 more, none larger" and lines[-1].split() == ["sum", "=", "66.00000"]
