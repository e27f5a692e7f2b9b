import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.kernels import norm as kernels
from tinycnn.kernels import runtime
from tinycnn.layers.norm import BatchNorm

SHAPES = [(7, 5), (2, 3, 5, 4), (3, 7, 1, 1), (130, 3)]


def random(shape, seed=0, dtype=np.float64, mean=0.0):
    return (mean + np.random.default_rng(seed).normal(size=shape)).astype(dtype)


def with_values(channels, dtype=np.float64):
    """A layer with gamma, beta and moving statistics that are not those of a new one."""
    layer = BatchNorm(momentum=0.8, epsilon=0.01)
    layer.build((channels,) if isinstance(channels, int) else channels, dtype=dtype)
    rng = np.random.default_rng(3)
    for arrays in (layer.params, layer.state):
        for array in arrays.values():
            array[...] = rng.uniform(0.5, 2, array.shape)
    return layer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients(shape, training):
    assert gradcheck(with_values(shape[1:]), random(shape), training=training).ok


def test_by_hand():
    layer = BatchNorm(momentum=0.9, epsilon=3.0)
    x = np.array([[5.0], [7.0], [3.0], [5.0], [5.0]]) - np.array([[0.0], [0], [0], [1], [-1]])
    # Mean 5, squared differences 0, 4, 4, 1, 1, so variance 2; with epsilon the divisor is sqrt(5).
    y = layer.forward(x, training=True)
    assert y.ravel() == pytest.approx(np.array([0, 2, -2, -1, 1]) / 5**0.5)
    assert layer.state["moving_mean"] == pytest.approx([0.5])
    assert layer.state["moving_variance"] == pytest.approx([0.9 + 0.2])


def test_inference_uses_moving_statistics_and_leaves_them():
    layer = with_values(1)
    layer.params["gamma"][...], layer.params["beta"][...] = 3, -1
    layer.state["moving_mean"][...], layer.state["moving_variance"][...] = 2, 3.99
    assert layer.forward(np.array([[2.0], [4.0]])).ravel() == pytest.approx([-1, 2])
    assert layer.state["moving_mean"] == 2 and layer.state["moving_variance"] == 3.99


def test_new_layer_normalises_every_channel():
    x = random((4, 6, 5, 3)) * [1, 10, 100] + [5, -50, 0]
    y = BatchNorm(epsilon=1e-9).forward(x, training=True)
    assert y.mean(axis=(0, 1, 2)) == pytest.approx(np.zeros(3), abs=1e-12)
    assert y.var(axis=(0, 1, 2)) == pytest.approx(np.ones(3))


@pytest.mark.parametrize("shape", [(9, 5), (2, 5, 3, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_keras_agrees_both_ways(shape, training):
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")
    x, grad_y = random(shape, dtype=np.float32, mean=2), random(shape, 1, np.float32)
    ours = with_values(shape[1:], np.float32)
    theirs = keras.layers.BatchNormalization(momentum=0.8, epsilon=0.01)
    theirs.build(shape)
    theirs.set_weights([*ours.params.values(), *ours.state.values()])
    for _ in range(2):  # twice: the moving statistics of the first pass count in the second
        with tf.GradientTape() as tape:
            x_tf = tf.constant(x)
            tape.watch(x_tf)
            y = theirs(x_tf, training=training)
            loss = tf.reduce_sum(y * grad_y)
        grads = tape.gradient(loss, [x_tf, theirs.gamma.value, theirs.beta.value])
        assert ours.forward(x, training) == pytest.approx(y.numpy(), rel=1e-5, abs=1e-5)
        for got, expected in zip((ours.backward(grad_y), *ours.grads.values()), grads, strict=True):
            assert got == pytest.approx(expected.numpy(), rel=2e-5, abs=2e-5)
        for got, expected in zip(ours.state.values(), theirs.get_weights()[2:], strict=True):
            assert got == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_torch_agrees_both_ways(training):
    torch = pytest.importorskip("torch")
    x, grad_y = random((3, 5, 2, 4), mean=-1), random((3, 5, 2, 4), 1)
    ours = with_values((5, 2, 4))
    theirs = torch.nn.BatchNorm2d(4, eps=0.01, momentum=0.2, dtype=torch.float64).train(training)
    with torch.no_grad():
        theirs.weight[:], theirs.bias[:] = map(torch.tensor, ours.params.values())
        theirs.running_mean[:], theirs.running_var[:] = map(torch.tensor, ours.state.values())
    x_torch = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    y = theirs(x_torch)
    y.backward(torch.tensor(grad_y.transpose(0, 3, 1, 2)))
    assert ours.forward(x, training) == pytest.approx(y.detach().numpy().transpose(0, 2, 3, 1), rel=1e-10)
    assert ours.backward(grad_y) == pytest.approx(x_torch.grad.numpy().transpose(0, 2, 3, 1), rel=1e-9, abs=1e-12)
    assert ours.grads["gamma"] == pytest.approx(theirs.weight.grad.numpy())
    assert ours.grads["beta"] == pytest.approx(theirs.bias.grad.numpy())
    assert ours.state["moving_mean"] == pytest.approx(theirs.running_mean.numpy())


def test_defaults_are_those_of_keras():
    keras = pytest.importorskip("keras")
    theirs = keras.layers.BatchNormalization()
    theirs.build((None, 4))
    ours = BatchNorm()
    ours.build((4,))
    assert (ours.momentum, ours.epsilon) == (theirs.momentum, theirs.epsilon)
    for got, expected in zip((*ours.params.values(), *ours.state.values()), theirs.get_weights(), strict=True):
        assert np.array_equal(got, expected)


def test_frozen_layer_runs_in_inference_mode():
    x, grad_y = random((6, 3)), random((6, 3), 1)
    frozen, plain = with_values(3), with_values(3)
    frozen.trainable = False
    assert np.array_equal(frozen.forward(x, training=True), plain.forward(x))
    assert np.array_equal(frozen.backward(grad_y), plain.backward(grad_y))
    assert np.array_equal(frozen.state["moving_mean"], plain.state["moving_mean"])


@pytest.mark.parametrize("mean", [0.0, 3000.0])
def test_float32_moments_survive_a_large_mean(mean):
    x = random((5, 40, 30, 3), dtype=np.float32, mean=mean)
    got = kernels.moments(x.reshape(-1, 3))
    exact = x.astype(np.longdouble).reshape(-1, 3)
    assert got[0] == pytest.approx(exact.mean(axis=0).astype(float), rel=1e-12, abs=1e-12)
    assert got[1] == pytest.approx(exact.var(axis=0).astype(float), rel=1e-10)


def test_float64_moments_survive_a_huge_mean():
    mean, variance = kernels.moments(1e9 + np.arange(1001.0)[:, None] % 7 * [1, 0])
    assert mean == pytest.approx([1e9 + 3, 1e9], rel=1e-15)
    assert variance == pytest.approx([4, 0], rel=1e-6)


def test_bits_do_not_depend_on_threads():
    x, grad_y = random((3, 37, 29, 5), dtype=np.float32, mean=1), random((3, 37, 29, 5), 1, np.float32)

    def step(training):
        layer = with_values((37, 29, 5), np.float32)
        arrays = [layer.forward(x, training), layer.backward(grad_y), *layer.grads.values(), *layer.state.values()]
        return [array.tobytes() for array in arrays]

    before = runtime.get_num_threads()
    try:
        for training in (True, False):
            results = []
            for threads in (1, 2, 3):
                runtime.set_num_threads(threads)
                results.append(step(training))
            assert results[0] == results[1] == results[2]
    finally:
        runtime.set_num_threads(before)


def test_one_row_gives_beta():
    layer = with_values(3)
    assert layer.forward(random((1, 3)), training=True)[0] == pytest.approx(layer.params["beta"])
    assert layer.backward(random((1, 3), 1)) == pytest.approx(np.zeros((1, 3)), abs=1e-12)


def test_nan_is_not_hidden():
    x = random((5, 2))
    x[3, 1] = np.nan
    layer = BatchNorm()
    y = layer.forward(x, training=True)
    assert np.isfinite(y[:, 0]).all() and np.isnan(y[:, 1]).all()
    assert np.isnan(layer.state["moving_variance"][1])


@pytest.mark.parametrize("training", [True, False])
def test_reused_buffers_give_the_same_and_arguments_are_left_alone(training):
    fresh, reusing = with_values((4, 2, 3), np.float32), with_values((4, 2, 3), np.float32)
    reusing._workspace = {}
    for images in (5, 2, 3):
        x, grad_y = random((images, 4, 2, 3), images, np.float32), random((images, 4, 2, 3), 9, np.float32)
        kept = x.copy(), grad_y.copy()
        y = reusing.forward(x, training)
        assert y.dtype == np.float32 and np.array_equal(y, fresh.forward(x, training))
        assert np.array_equal(reusing.backward(grad_y), fresh.backward(grad_y))
        assert np.array_equal(x, kept[0]) and np.array_equal(grad_y, kept[1])


@pytest.mark.parametrize("bad", [{"momentum": -0.1}, {"momentum": 1.1}, {"epsilon": 0}, {"epsilon": -1.0}])
def test_bad_arguments_are_refused(bad):
    ((key, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{key} must.*got {value}"):
        BatchNorm(**bad)


def test_config_makes_it_again():
    layer = BatchNorm(**BatchNorm(0.7, 0.02).config())
    assert (layer.momentum, layer.epsilon) == (0.7, 0.02)
