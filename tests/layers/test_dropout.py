import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.kernels import runtime
from tinycnn.layers.dropout import Dropout


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.75])
@pytest.mark.parametrize("training", [True, False])
def test_gradients(rate, training):
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 2))
    assert gradcheck(Dropout(rate), x, training=training).ok


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_share_of_zeros_and_scale(rate, dtype):
    y = Dropout(rate).forward(ones(7, 41, 97, dtype=dtype), training=True)
    assert y.dtype == dtype
    kept = y[y != 0]
    assert kept == pytest.approx(np.full(kept.shape, 1 / (1 - rate)), rel=1e-6)
    # Five standard deviations of a binomial count.
    assert abs(kept.size - y.size * (1 - rate)) < 5 * (y.size * rate * (1 - rate)) ** 0.5


def test_neighbours_and_steps_are_unrelated():
    layer = Dropout(0.5)
    x = ones(1, 40000)
    first = layer.forward(x, training=True).ravel() - 1
    second = layer.forward(x, training=True).ravel() - 1
    for a, b in ((first, second), (first[1:], first[:-1]), (first[8:], first[:-8]), (first[256:], first[:-256])):
        assert abs(np.mean(a * b)) < 5 / len(a) ** 0.5


def test_inference_is_the_identity_to_the_bit():
    layer = Dropout(0.5)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    assert layer.forward(x) is x
    assert layer.backward(x) is x
    layer.forward(x, training=True)
    assert np.array_equal(layer.forward(x), x)
    assert np.array_equal(layer.backward(x), x)  # the last forward counts


def test_rate_zero_is_the_identity_and_draws_nothing():
    layer = Dropout(0)
    layer.build((4,), rng=np.random.default_rng(5))
    assert np.array_equal(layer.forward(ones(3, 4), training=True), ones(3, 4))
    assert layer.rng.random() == np.random.default_rng(5).random()


def test_backward_uses_the_mask_of_forward():
    layer = Dropout(0.4)
    y = layer.forward(ones(5, 33), training=True).copy()
    assert np.array_equal(layer.backward(ones(5, 33)), y)
    assert np.array_equal(layer.backward(2 * ones(5, 33)), 2 * y)


def test_masks_change_unless_the_generator_is_put_back():
    layer, x = Dropout(0.5), ones(2, 64)
    layer.build((64,), rng=np.random.default_rng(3))
    before = layer.rng.bit_generator.state
    first = layer.forward(x, training=True).copy()
    assert not np.array_equal(first, layer.forward(x, training=True))
    layer.rng.bit_generator.state = before
    assert np.array_equal(first, layer.forward(x, training=True))


def test_seed_decides_whatever_the_thread_count():
    def masks(seed):
        layer = Dropout(0.5)
        layer.build((50, 1001), rng=np.random.default_rng(seed))
        return [layer.forward(ones(3, 50, 1001), training=True).tobytes() for _ in range(2)]

    before = runtime.get_num_threads()
    try:
        runtime.set_num_threads(1)
        one = masks(4)
        runtime.set_num_threads(2)
        two = masks(4)
    finally:
        runtime.set_num_threads(before)
    assert one == two
    assert one != masks(5)


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan"), "0.3"])
def test_bad_rates_are_refused(rate):
    with pytest.raises(ValueError, match=f"(0 <= rate < 1|such as 0.3), got {rate!r}"):
        Dropout(rate)


def test_config_makes_it_again():
    assert Dropout(**Dropout(0.25).config()).rate == 0.25
