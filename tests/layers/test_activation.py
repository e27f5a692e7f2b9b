import json

import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers.activation import LeakyReLU, ReLU, ReLU6, Sigmoid, Softmax, Tanh, get
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.registry import describe, restore

LAYERS = [ReLU, ReLU6, LeakyReLU, lambda: LeakyReLU(1.7), lambda: LeakyReLU(0.0), Sigmoid, Tanh, Softmax]
SHAPES = [(3, 5), (2, 3, 4, 5), (1, 1)]


def random(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients(make, shape):
    assert gradcheck(make(), 4 * random(shape)).ok


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arguments_are_left_alone_and_dtype_kept(make, dtype):
    layer = make()
    x, grad_y = random((2, 3, 5), dtype=dtype), random((2, 3, 5), 1, dtype)
    kept = x.copy(), grad_y.copy()
    y = layer.forward(x, training=True)
    kept_y = y.copy()
    grad_x = layer.backward(grad_y)
    assert y.dtype == grad_x.dtype == dtype
    assert np.array_equal(x, kept[0]) and np.array_equal(grad_y, kept[1]) and np.array_equal(y, kept_y)


@pytest.mark.parametrize("make", LAYERS)
def test_reused_buffers_give_the_same(make):
    fresh, reusing = make(), make()
    reusing.build((3, 4))
    reusing._workspace = {}
    for images in (5, 2, 3):
        x, grad_y = random((images, 3, 4), images, np.float32), random((images, 3, 4), 9, np.float32)
        assert np.array_equal(reusing.forward(x), fresh.forward(x))
        assert np.array_equal(reusing.backward(grad_y), fresh.backward(grad_y))


def test_values_at_zero():
    x, one = np.zeros((1, 1)), np.ones((1, 1))
    for layer, y, slope in (
        (ReLU(), 0, 0),
        (ReLU6(), 0, 0),
        (LeakyReLU(0.3), 0, 0.3),
        (Sigmoid(), 0.5, 0.25),
        (Tanh(), 0, 1),
    ):
        assert layer.forward(x).item() == y
        assert layer.backward(one).item() == slope
    relu6 = ReLU6()
    assert relu6.forward(6 * one).item() == 6 and relu6.backward(one).item() == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_neither_overflow_nor_warn(dtype):
    x = np.array([[-1e30, -800, -20, 0, 20, 800, 1e30]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for make in LAYERS:
            layer = make()
            y = layer.forward(x)
            assert np.isfinite(y).all() and np.isfinite(layer.backward(np.ones_like(x))).all()
    sigmoid = Sigmoid().forward(x)
    assert sigmoid[0, [0, 3, 6]].tolist() == [0, 0.5, 1]
    assert sigmoid[0, 2] == pytest.approx(2.0611536181902037e-09, rel=1e-6)  # not rounded away against 1


def test_nan_is_not_hidden():
    for make in LAYERS:
        assert np.isnan(make().forward(np.full((1, 2), np.nan))).all()


def test_softmax_rows_add_up_and_ignore_a_shift():
    x = random((4, 3, 6))
    y = Softmax().forward(x).copy()
    assert y.sum(axis=-1) == pytest.approx(np.ones((4, 3)), rel=1e-14)
    assert np.allclose(y, Softmax().forward(x + 1000), rtol=1e-12)
    assert Softmax().forward(np.log([[1.0, 2.0, 5.0]])) == pytest.approx(np.array([[0.125, 0.25, 0.625]]))


@pytest.mark.parametrize("make", [ReLU, LeakyReLU, Sigmoid, Tanh, Softmax, lambda: Dropout(0.5)])
def test_a_vector_is_told_to_become_a_batch(make):
    with pytest.raises(ValueError, match=r"takes a batch.*got shape \(3,\).*x\[None\]"):
        make().forward(np.float32([1, 2, 3]))


@pytest.mark.parametrize("slope", [-0.1, np.inf, np.nan])
def test_bad_slopes_are_refused(slope):
    with pytest.raises(ValueError, match=f"negative_slope.*{slope}"):
        LeakyReLU(slope)


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu", "sigmoid", "tanh", "softmax"])
def test_names_mean_what_they_mean_in_keras(name):
    keras = pytest.importorskip("keras")
    x = random((5, 7), 3, np.float32)
    x[0] *= 9
    assert get(name).forward(x) == pytest.approx(np.array(keras.activations.get(name)(x)), rel=1e-5, abs=1e-7)


def test_default_slope_is_that_of_keras_layer():
    keras = pytest.importorskip("keras")
    assert LeakyReLU().negative_slope == pytest.approx(keras.layers.LeakyReLU().negative_slope)


@pytest.mark.parametrize(
    ("layer", "theirs"),
    [
        (ReLU(), lambda nn: nn.ReLU()),
        (ReLU6(), lambda nn: nn.ReLU6()),
        (LeakyReLU(0.1), lambda nn: nn.LeakyReLU(0.1)),
        (Sigmoid(), lambda nn: nn.Sigmoid()),
        (Tanh(), lambda nn: nn.Tanh()),
        (Softmax(), lambda nn: nn.Softmax(dim=-1)),
    ],
)
def test_torch_agrees_both_ways(layer, theirs):
    torch = pytest.importorskip("torch")
    x, grad_y = 4 * random((3, 2, 5)), random((3, 2, 5), 1)
    x[0, 0, :2] = 0, 6
    x_torch = torch.tensor(x, requires_grad=True)
    y = theirs(torch.nn)(x_torch)
    y.backward(torch.tensor(grad_y))
    assert layer.forward(x) == pytest.approx(y.detach().numpy(), rel=1e-12, abs=1e-15)
    assert layer.backward(grad_y) == pytest.approx(x_torch.grad.numpy(), rel=1e-12, abs=1e-15)


def test_get():
    layer = LeakyReLU(0.05)
    assert get(None) is None and get("linear") is None
    assert get(layer) is layer
    assert get("relu") is not get("relu")
    with pytest.raises(ValueError, match="unknown activation 'mish'.*leaky_relu, linear, relu"):
        get("mish")
    with pytest.raises(ValueError, match="unknown activation 7"):
        get(7)


def test_description_survives_json():
    for make in LAYERS:
        layer = make()
        copy = restore(json.loads(json.dumps(describe(layer))))
        assert type(copy) is type(layer) and copy.config() == layer.config() and copy is not layer
    assert describe(None) is None
    assert restore(describe(ReLU(name="last"))).name == "last"
