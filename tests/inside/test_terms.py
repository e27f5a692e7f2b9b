"""What a number is made of: sums, positions and weights of every kind of layer, forwards and backwards."""

import numpy as np
import pytest
from traced import batch, every_layer

from tinycnn.inside.trace import trace
from tinycnn.layers.activation import Sigmoid
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.residual import Residual
from tinycnn.losses import MeanSquaredError
from tinycnn.model import Sequential


def some_indices(shape, n=40):
    """The corners of the array and others at random."""
    rng = np.random.default_rng(0)
    corners = [(shape[0] - 1, *(0 for _ in shape[1:])), tuple(n - 1 for n in shape)]
    return corners + [tuple(int(rng.integers(n)) for n in shape) for _ in range(n)]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_they_add_up_for_every_layer(dtype, training):
    seen = trace(every_layer(dtype), *batch(dtype), training=training)
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


def test_patches_and_gradients_are_those_of_the_record():
    seen = trace(every_layer(), *batch())
    for path, record in seen.records.items():
        if isinstance(seen.layers[path], Residual):
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


def test_what_goes_forward_by_a_weight_comes_back_by_it():
    seen = trace(every_layer(), *batch())
    for path, record in seen.records.items():
        if isinstance(seen.layers[path], Residual) or record.grad_pre_activation is None:
            continue
        for index in some_indices(record.input.shape, 15):
            back = seen.back(path, index)
            for output, weight in zip(back.outputs.tolist(), back.weights, strict=True):
                terms = seen.terms(path, tuple(output))
                assert np.isclose(terms.weights[(terms.inputs == index).all(axis=-1)].sum(), weight), (path, index)
    # and none is left out: the weights of all outputs, summed, are those of all inputs
    for path in ("conv2d", "max_pooling2d", "conv2d_1", "conv2d_transpose_1", "max_pooling2d_1", "average_pooling2d"):
        x, y = seen[path].input[:1], seen[path].pre_activation[:1]
        forward = 0.0
        for index in np.ndindex(y.shape):
            terms = seen.terms(path, index)
            forward += terms.weights[((terms.inputs >= 0) & (terms.inputs < x.shape)).all(axis=-1)].sum()
        backward = sum(seen.back(path, index).weights.sum() for index in np.ndindex(x.shape))
        assert np.isclose(forward, backward), path


def test_a_convolution_by_hand():
    model = Sequential([Conv2D(2, (2, 3), padding="same", dilation_rate=(1, 2), groups=2)])
    model.build((3, 4, 4))
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    seen = trace(model, x)
    terms = seen.terms("conv2d", (1, 2, 0, 1))
    assert terms.inputs[:, :, 0].tolist() == [
        [[1, 2, -2, 2], [1, 2, 0, 2], [1, 2, 2, 2]],
        [[1, 3, -2, 2], [1, 3, 0, 2], [1, 3, 2, 2]],
    ]
    patch = np.zeros((2, 3, 2))
    patch[0, 1], patch[0, 2] = x[1, 2, 0, 2:], x[1, 2, 2, 2:]
    np.testing.assert_array_equal(terms.patch, patch)
    np.testing.assert_array_equal(terms.weights, model.layers[0].params["kernel"][..., 1])


def test_pools_by_hand():
    x = np.float32([[1, 5, 5], [2, 0, -3], [7, 7, -1]]).reshape(1, 3, 3, 1)
    for pool, path in (
        (MaxPool2D(2, padding="same"), "max_pooling2d"),
        (AveragePool2D(2, padding="same"), "average_pooling2d"),
    ):
        model = Sequential([pool])
        model.build((3, 3, 1))
        terms = trace(model, x).terms(path, (0, 0, 1, 0))
        np.testing.assert_array_equal(terms.patch, [[5, np.nan], [-3, np.nan]])
        if path == "max_pooling2d":
            assert terms.details["winner"] == (0, 0, 2, 0) and terms.weights.tolist() == [[1, 0], [0, 0]]
            assert trace(model, x).terms(path, (0, 1, 0, 0)).details["winner"] == (0, 2, 0, 0)  # the first of two
        else:
            assert terms.weights.tolist() == [[0.5, 0], [0.5, 0]] and terms.total == 1
    model = Sequential([MaxPool2D(2)])
    model.build((2, 2, 1))
    broken = np.float32([np.nan, 9, np.nan, -np.inf]).reshape(1, 2, 2, 1)
    seen = trace(model, broken, np.zeros((1, 1, 1, 1)), MeanSquaredError())
    winner = seen.terms("max_pooling2d", (0, 0, 0, 0)).details["winner"]
    assert np.isnan(seen["max_pooling2d"].grad_input[winner])  # the gradient, nan itself, goes there
    assert np.isnan(seen.terms("max_pooling2d", (0, 0, 0, 0)).total)


def test_the_mean_of_an_image_by_hand():
    model = Sequential([GlobalAveragePool2D()])
    model.build((2, 3, 2))
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    seen = trace(model, x, np.array([[1.0, 2.0]]), MeanSquaredError())
    terms = seen.terms("global_average_pooling2d", (0, 1))
    assert terms.patch.tolist() == [[1, 3, 5], [7, 9, 11]] and (terms.weights == 1 / 6).all()
    back = seen.back("global_average_pooling2d", (0, 1, 1, 0))
    assert back.outputs.tolist() == [[0, 0]] and back.weights.tolist() == [1 / 6]


def test_a_normalisation_by_hand():
    model = Sequential([BatchNorm(epsilon=1.0)])
    model.build((2,), np.float64)
    x = np.array([[1.0, 10.0], [5.0, 30.0]])
    terms = trace(model, x, training=True).terms("batch_normalization", (0, 1))
    assert terms.details == {"mean": 20.0, "variance": 100.0, "gamma": 1.0, "beta": 0.0}
    assert np.isclose(terms.weights[0], 1 / np.sqrt(101)) and np.isclose(terms.bias, -20 / np.sqrt(101))
    still = trace(model, x).terms("batch_normalization", (0, 1))
    assert (still.details["mean"], still.details["variance"]) == (0.0, 1.0)


def test_a_sigmoid_is_given_by_its_tangent_and_dropout_by_its_mask():
    model = Sequential([Dropout(0.5), Sigmoid()])
    model.build((200,), np.float64)
    x = np.random.default_rng(0).normal(size=(1, 200))
    x[0, :100] = 0  # where neither output nor gradient would show the mask
    seen = trace(model, x, training=True)
    weights = [float(seen.terms("dropout", (0, i)).weights[0]) for i in range(200)]
    assert set(weights[:100]) == set(weights[100:]) == {0.0, 2.0}
    np.testing.assert_array_equal(weights[100:] * x[0, 100:], seen["dropout"].output[0, 100:])
    terms, y = seen.terms("sigmoid", (0, 150)), seen.output[0, 150]
    assert np.isclose(terms.weights[0], y * (1 - y)) and np.isclose(terms.total, y)


def test_a_softmax_shows_its_exponentials():
    model = Sequential([Dense(3, activation="softmax")])
    model.build((2,), np.float64)
    seen = trace(model, np.array([[1.0, 2.0]]), np.array([[0.0, 0.0, 1.0]]), MeanSquaredError())
    terms = seen.terms("dense/softmax", (0, 1))
    np.testing.assert_allclose(terms.details["exponentials"] / terms.details["sum"], seen.output[0])
    assert np.isclose(terms.total, seen.output[0, 1])


def test_a_block_is_made_of_shortcut_and_branch():
    seen = trace(every_layer(), *batch())
    for path, shortcut in (("residual", None), ("residual_1", "residual_1/conv2d_1")):
        terms, back = seen.terms(path, (1, 2, 0, 3)), seen.back(path, (1, 2, 0, 3))
        through = seen["residual"].input if shortcut is None else seen[shortcut].output
        branch = seen[f"{path}/{'batch_normalization' if shortcut is None else 'conv2d'}"].output
        assert terms.patch.tolist() == [through[1, 2, 0, 3], branch[1, 2, 0, 3]]
        past = seen[path].grad_pre_activation if shortcut is None else seen[shortcut].grad_input
        assert back.gradients.tolist() == [past[1, 2, 0, 3], seen[f"{path}/conv2d"].grad_input[1, 2, 0, 3]]


def test_terms_print_the_largest_products_first():
    model = Sequential([Dense(1, kernel_initializer="ones")])
    model.build((12,))
    text = str(trace(model, np.arange(12, dtype=np.float32)[None]).terms("dense", (0, 0)))
    lines = text.splitlines()
    assert lines[0].split() == ["input", "(0,", "11)", "11.00000", "*", "1.00000", "=", "11.00000"]
    assert len(lines) == 12 and lines[9] == "and 3 more, none larger" and lines[-1].split() == ["sum", "=", "66.00000"]
