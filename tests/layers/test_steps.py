"""A convolution and a pooling layer as one step: the same bits as one after the other."""

import numpy as np
import pytest

from tinycnn.kernels.conv import set_winograd
from tinycnn.kernels.simd import LANES, NR
from tinycnn.layers.activation import LeakyReLU, Sigmoid, Softmax
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import AveragePool2D, MaxPool2D
from tinycnn.layers.residual import Residual
from tinycnn.layers.steps import plan
from tinycnn.model import Sequential

pytestmark = pytest.mark.parametrize("kernels", ["fast"], indirect=True)  # the others fuse nothing


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.fixture(params=[4, 2, 0], ids=["winograd4", "winograd2", "direct"])
def winograd(request):
    set_winograd(request.param)
    yield request.param
    set_winograd("auto")


def pairs(input_shape, dtype, *args, pool=None, **options):
    """Twice a convolution and a pooling layer with the same weights: as a pair of layers and as one step."""
    result = []
    for _ in range(2):
        conv, pooling = Conv2D(*args, bias_initializer="he_normal", **options), MaxPool2D(**(pool or {}))
        pooling.build(conv.build(input_shape, dtype=dtype), dtype=dtype)
        result.append((conv, pooling))
    (step,), _ = plan(result[1])
    return result[0], step


def assert_same_bits(layers, step, x, grad_y=None):
    conv, pooling = layers
    y = pooling.forward(conv.forward(x, training=True), training=True)
    fused = step.forward(x, training=True)
    assert fused.shape == y.shape and fused.dtype == y.dtype and np.array_equal(fused, y, equal_nan=True)
    grad_y = normal(*y.shape, seed=1, dtype=y.dtype) if grad_y is None else grad_y
    kept = grad_y.copy()
    grad_x = conv.backward(pooling.backward(grad_y))
    assert np.array_equal(step.backward(grad_y), grad_x)
    assert np.array_equal(grad_y, kept)
    for key in conv.grads:
        assert np.array_equal(step.layers[0].grads[key], conv.grads[key]), key
    return y, grad_x


SIZES = [(8, 6), (9, 7), (2, 2), (3, 2), (5, 12), (13, 18)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("channels, filters", [(3, 2 * LANES), (NR, NR), (2 * NR, 3 * NR), (5, LANES)])
@pytest.mark.parametrize("size", SIZES)
def test_same_bits(size, channels, filters, activation, dtype, winograd):
    layers, step = pairs((*size, channels), dtype, filters, 3, padding="same", activation=activation)
    assert len(step.layers) == 2
    assert_same_bits(layers, step, normal(3, *size, channels, dtype=dtype))


@pytest.mark.parametrize(
    "options",
    [
        dict(kernel_size=5, padding="valid"),
        dict(kernel_size=(2, 3), padding="same", strides=(2, 1)),
        dict(kernel_size=3, padding=((0, 2), (3, 1)), dilation_rate=(2, 1)),
        dict(kernel_size=3, padding="same", groups=2),
        dict(kernel_size=1, use_bias=False),
        dict(kernel_size=3, padding="valid", use_bias=False),
    ],
)
@pytest.mark.parametrize("activation", [None, "relu"])
def test_same_bits_for_every_kind_of_convolution(options, activation, winograd):
    options = {"filters": 2 * NR, **options, "activation": activation}
    layers, step = pairs((11, 14, NR), np.float32, **options)
    assert len(step.layers) == 2
    assert_same_bits(layers, step, normal(2, 11, 14, NR))


@pytest.mark.parametrize("channels", [3, NR])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_ties_go_to_the_first(activation, channels, winograd):
    """All outputs are equal, so every window is a tie, and the first of its four pixels gets the gradient."""
    for bias in (0.5, 0.0, -0.5):
        layers, step = pairs((5, 6, channels), np.float32, NR, 1, activation=activation)
        for conv in (layers[0], step.layers[0]):
            conv.params["kernel"][...] = 0
            conv.params["bias"][...] = bias
        x = normal(2, 5, 6, channels)
        grad_y = normal(2, 2, 3, NR, seed=1)
        assert_same_bits(layers, step, x, grad_y)
        dead = activation == "relu" and bias <= 0
        first = np.einsum("nijc,nijf->cf", x[:, :4:2, ::2], grad_y) * (not dead)
        assert np.allclose(step.layers[0].grads["kernel"][0, 0], first, atol=1e-5)


@pytest.mark.parametrize("activation", [None, "relu"])
def test_integers_with_many_ties(activation, winograd):
    """Few small integers: outputs that are equal are common, so windows with several largest values are too."""
    layers, step = pairs((9, 10, NR), np.float64, NR, 3, padding="same", activation=activation)
    rng = np.random.default_rng(0)
    kernel = rng.integers(-1, 2, layers[0].params["kernel"].shape)
    for conv in (layers[0], step.layers[0]):
        conv.params["kernel"][...] = kernel
        conv.params["bias"][...] = 0
    x = (rng.random((3, 9, 10, NR)) < 0.05).astype(float)
    assert_same_bits(layers, step, x)


@pytest.mark.parametrize("activation", [None, "relu"])
def test_nan_is_passed_on(activation, winograd):
    """Not the same bits: which of several NaN wins is nobody's business, but none may be lost."""
    layers, step = pairs((6, 8, NR), np.float32, NR, 3, padding="same", activation=activation)
    x = normal(1, 6, 8, NR)
    x[0, 2, 3, 1] = np.nan
    conv, pooling = layers
    y = pooling.forward(conv.forward(x))
    assert np.isnan(y).any() and np.array_equal(np.isnan(step.forward(x)), np.isnan(y))


def test_input_gradient_can_be_left_out(winograd):
    layers, step = pairs((7, 8, NR), np.float32, NR, 3, padding="same", activation="relu")
    assert_same_bits(layers, step, normal(2, 7, 8, NR))
    assert step.backward(normal(2, 3, 4, NR, seed=1), input_grad=False) is None
    for key in layers[0].grads:
        assert np.array_equal(step.layers[0].grads[key], layers[0].grads[key])


@pytest.mark.parametrize("activation", [None, "relu"])
def test_every_tile_of_winograd_agrees_with_the_direct_sum(activation):
    """Through a fused step as well, for input and every gradient; in float64, where no tie is decided by rounding."""
    results = []
    for tile in (4, 2, 0):
        set_winograd(tile)
        try:
            layers, step = pairs((11, 9, NR), np.float64, 2 * NR, 3, padding="same", activation=activation)
            y, grad_x = assert_same_bits(layers, step, normal(2, 11, 9, NR, dtype=np.float64))
            results.append((y, grad_x, *step.layers[0].grads.values()))
        finally:
            set_winograd("auto")
    for four, two, direct in zip(*results, strict=True):
        assert np.linalg.norm(four - direct) < 1e-12 * np.linalg.norm(direct)
        assert np.linalg.norm(two - direct) < 1e-12 * np.linalg.norm(direct)


def built(layers, input_shape=(8, 6, 3)):
    Sequential(layers).build(input_shape)
    return layers


def steps_of(layers, input_shape=(8, 6, 3)):
    body, head = plan(built(layers, input_shape))
    assert head == []
    return [" + ".join(type(layer).__name__ for layer in step.layers) for step in body]


def test_every_pair_is_found_and_the_rest_stays_as_it_is():
    layers = built(
        [Conv2D(NR, 3), Conv2D(NR, 3, padding="same", activation="relu"), MaxPool2D(), Dropout(0.3), MaxPool2D(1)]
    )
    steps, _ = plan(layers)
    assert [step.layers for step in steps] == [(layers[0],), (layers[1], layers[2]), (layers[3],), (layers[4],)]
    assert [step.reads_output for step in steps] == [True, False, False, False]
    assert [step.layers for step in plan(layers, fuse=False)[0]] == [(layer,) for layer in layers]
    assert steps_of([Conv2D(NR, 1), MaxPool2D(), Conv2D(LANES, 1, groups=1), MaxPool2D(2)]) == [
        "Conv2D + MaxPool2D",
        "Conv2D + MaxPool2D",
    ]
    assert steps_of([Conv2D(NR, 3), MaxPool2D(1)]) == ["Conv2D", "MaxPool2D"]
    assert steps_of([MaxPool2D(), Conv2D(NR, 3, padding="same")]) == ["MaxPool2D", "Conv2D"]


@pytest.mark.parametrize(
    "first, second",
    [
        (Conv2D(NR, 3, activation="tanh"), MaxPool2D()),
        (Conv2D(NR, 3, activation=LeakyReLU(0.1)), MaxPool2D()),
        (Conv2D(LANES + 1, 3), MaxPool2D()),
        (Conv2D(LANES, 3, padding="same", groups=2), MaxPool2D()),
        (Conv2D(NR, 3), MaxPool2D(3)),
        (Conv2D(NR, 3), MaxPool2D(2, strides=1)),
        (Conv2D(NR, 3), MaxPool2D((2, 1))),
        (Conv2D(NR, 2, padding="valid"), MaxPool2D(2, padding="same")),
        (Conv2D(NR, 3), AveragePool2D(2)),
        (Conv2D(NR, 3), BatchNorm()),
        (Conv2DTranspose(NR, 3), MaxPool2D()),
    ],
)
def test_what_the_tile_cannot_pool_is_left_alone(first, second):
    assert steps_of([first, second], (8, 6, 4)) == [type(first).__name__, type(second).__name__]


def test_same_padding_of_even_sizes_is_no_padding():
    assert steps_of([Conv2D(NR, 3, padding="same"), MaxPool2D(2, padding="same")]) == ["Conv2D + MaxPool2D"]


def test_a_model_uses_its_buffers_again():
    """Batches of several sizes through one model give what fresh layers give."""
    model = Sequential([Conv2D(NR, 3, padding="same", activation="relu"), MaxPool2D()])
    model.build((9, 8, 3))
    assert len(plan(model.layers)[0]) == 1
    for images in (5, 2, 4):
        x, grad_y = normal(images, 9, 8, 3, seed=images), normal(images, 4, 4, NR, seed=9)
        conv, pooling = Conv2D(NR, 3, padding="same", activation="relu"), MaxPool2D()
        conv.build((9, 8, 3))
        conv.params["kernel"][...] = model.layers[0].params["kernel"]
        assert np.array_equal(model.forward(x), pooling.forward(conv.forward(x)))
        assert np.array_equal(model.backward(grad_y), conv.backward(pooling.backward(grad_y)))
        assert np.array_equal(model.layers[0].grads["kernel"], conv.grads["kernel"])


def test_layers_of_a_pair_that_ran_fused_go_backward_alone_or_say_why_not():
    x = np.random.default_rng(0).normal(size=(2, 8, 10, 3)).astype(np.float32)
    layers = [Conv2D(16, 3, padding="same", activation="relu"), MaxPool2D()]
    model = Sequential(layers)
    y = model.forward(x)
    full = layers[1].backward(np.ones_like(y))
    # A window without a positive value passes nothing on: the ReLU before it would not either.
    assert full.shape == (2, 8, 10, 16) and full.sum() == (y > 0).sum() < y.size
    with pytest.raises(RuntimeError, match="before forward"):
        layers[0].backward(full)
    np.testing.assert_array_equal(layers[0].last_input, x)
    np.testing.assert_array_equal(layers[1].last_output, y)
    for ask in (lambda: layers[0].last_output, lambda: layers[1].last_input):
        with pytest.raises(RuntimeError, match="ran in one step with its neighbour"):
            ask()


@pytest.mark.parametrize(
    "make",
    [
        lambda: [Dense(4), Softmax()],
        lambda: [Dense(4, activation="softmax")],
        lambda: [Residual([Dense(6)], activation="softmax")],
    ],
)
def test_a_softmax_at_the_end_is_a_step_of_its_own(make):
    model, x = Sequential(make()), normal(3, 6)
    probabilities, logits = model.forward(x), model.forward(x, logits=True)
    np.testing.assert_allclose(probabilities, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), rtol=1e-5)
    assert not np.allclose(logits.sum(axis=1), 1) and model.ends_in_softmax
    upstream = normal(*logits.shape, seed=1)
    model.forward(x)
    through_all = model.backward(upstream)
    model.forward(x, logits=True)
    adjoint = probabilities * (upstream - (upstream * probabilities).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(model.backward(adjoint), through_all, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [lambda: [Dense(4), Sigmoid()], lambda: [Conv2D(2, 3, activation="sigmoid")]])
def test_a_sigmoid_at_the_end_is_a_step_of_its_own_and_changes_no_bit(make):
    model = Sequential(make())
    x = normal(3, 6) if len(model.layers) == 2 else normal(3, 6, 5, 2)
    y, logits = model.forward(x), model.forward(x, logits=True)
    np.testing.assert_allclose(y, 1 / (1 + np.exp(-logits)), rtol=1e-6)
    alone = x
    for layer in model.layers:
        alone = layer.forward(alone)
    assert np.array_equal(y, alone) and len(model.head) == 1
