import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers.activation import LeakyReLU
from tinycnn.layers.dense import Dense
from tinycnn.layers.registry import describe, restore


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("images, inputs, units", [(1, 1, 1), (3, 5, 2), (7, 19, 17), (2, 33, 40), (13, 4, 32)])
@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_gradients(images, inputs, units, activation):
    assert gradcheck(Dense(units, activation), normal(images, inputs)).ok


@pytest.mark.parametrize("activation", ["leaky_relu", "sigmoid", "softmax", LeakyReLU(0.7)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_gradients_of_every_activation(activation, use_bias):
    layer = Dense(5, activation, use_bias=use_bias)
    assert gradcheck(layer, normal(4, 6)).ok
    assert sorted(layer.params) == (["bias", "kernel"] if use_bias else ["kernel"])


def test_long_inputs():
    assert gradcheck(Dense(3), normal(2, 2500), mode="random").ok  # several chunks of the sum over inputs


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_equals_torch(dtype, tolerance):
    torch = pytest.importorskip("torch")
    layer = Dense(21, "relu", bias_initializer="glorot_uniform")
    x, grad_y = normal(5, 1300, dtype=dtype), normal(5, 21, dtype=dtype)
    layer.build((1300,), dtype=dtype)
    theirs = torch.nn.Linear(1300, 21, dtype=getattr(torch, np.dtype(dtype).name))
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(layer.params["kernel"].T.copy()))
        theirs.bias.copy_(torch.tensor(layer.params["bias"]))
    x_ = torch.tensor(x, requires_grad=True)
    y_ = torch.relu(theirs(x_))
    y_.backward(torch.tensor(grad_y))
    y = layer.forward(x)
    grad_x = layer.backward(grad_y)
    pairs = [
        (y, y_.detach()),
        (grad_x, x_.grad),
        (layer.grads["kernel"], theirs.weight.grad.T),
        (layer.grads["bias"], theirs.bias.grad),
    ]
    for ours, other in pairs:
        assert ours.dtype == dtype
        assert abs(ours - other.numpy()).max() < tolerance * abs(other.numpy()).max()


def test_equals_keras():
    keras = pytest.importorskip("keras")
    layer, x = Dense(7, "softmax", bias_initializer="he_normal"), normal(4, 9, dtype=np.float32)
    y = layer.forward(x)
    theirs = keras.layers.Dense(7, "softmax")
    theirs.build((None, 9))
    theirs.set_weights([layer.params["kernel"], layer.params["bias"]])
    assert np.allclose(y, keras.ops.convert_to_numpy(theirs(x)), atol=1e-6)


@pytest.mark.parametrize("activation", ["softmax", "relu", None])
def test_the_linear_part_leaves_out_the_activation_and_nothing_else(activation):
    x, grad_y = normal(3, 4), normal(3, 5, seed=1)
    layer, other = Dense(5, activation), Dense(5)
    for _ in range(2):
        assert np.array_equal(layer.forward_linear(x), other.forward(x))
        assert np.array_equal(layer.backward_linear(grad_y), other.backward(grad_y))
        assert np.array_equal(layer.grads["kernel"], other.grads["kernel"])
    probabilities = Dense(5, "softmax").forward(x)
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_input_gradient_can_be_left_out():
    layer, other = Dense(4), Dense(4)
    x, grad_y = normal(3, 6), normal(3, 4, seed=1)
    for each in (layer, other):
        each.forward(x)
    assert layer.backward(grad_y, input_grad=False) is None
    other.backward(grad_y)
    assert all(np.array_equal(layer.grads[key], other.grads[key]) for key in ("kernel", "bias"))


def test_gradients_are_overwritten_in_place():
    layer, x, grad_y = Dense(4, "relu"), normal(3, 6), normal(3, 4, seed=1)
    layer.forward(x)
    layer.backward(grad_y)
    arrays = dict(layer.grads)
    kept = {key: a.copy() for key, a in arrays.items()}
    layer.forward(x)
    layer.backward(grad_y)
    assert all(layer.grads[key] is arrays[key] and np.array_equal(arrays[key], kept[key]) for key in kept)


def test_reused_buffers_give_the_same():
    fresh, reusing = Dense(9, "relu"), Dense(9, "relu")
    reusing.build((11,))
    for layer in (reusing, *reusing.sublayers()):
        layer._workspace = {}
    for images in (5, 2, 3):
        x, grad_y = normal(images, 11, seed=images, dtype=np.float32), normal(images, 9, dtype=np.float32)
        assert np.array_equal(reusing.forward(x), fresh.forward(x))
        assert np.array_equal(reusing.backward(grad_y), fresh.backward(grad_y))


def test_ties_at_zero_pass_no_gradient():
    layer = Dense(3, "relu", kernel_initializer="zeros")
    assert (layer.forward(normal(2, 4)) == 0).all()
    assert (layer.backward(np.ones((2, 3))) == 0).all() and (layer.grads["bias"] == 0).all()


def test_any_memory_order():
    x, grad_y = normal(6, 3), normal(4, 3, seed=1)
    one, two = Dense(4), Dense(4)
    assert np.array_equal(one.forward(x.T), two.forward(x.T.copy()))
    assert np.array_equal(one.backward(grad_y.T), two.backward(grad_y.T.copy()))


def test_configuration_comes_back():
    layer = Dense(3, LeakyReLU(0.1), use_bias=False, kernel_initializer="he_normal", bias_initializer="ones")
    again = restore(describe(layer))
    assert again.config() == layer.config() and again.activation.negative_slope == 0.1


def test_count_params():
    layer = Dense(128)
    layer.build((512,))
    assert layer.count_params == 512 * 128 + 128


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="units must be a positive int, got 0"):
        Dense(0)
    with pytest.raises(ValueError, match="unknown activation 'rely'"):
        Dense(3, "rely")
    with pytest.raises(ValueError, match=r"got \(4, 5, 3\); put a Flatten"):
        Dense(3).build((4, 5, 3))
    layer = Dense(3)
    layer.build((4,))
    with pytest.raises(RuntimeError, match="backward was called before forward"):
        layer.backward(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"\(images, 4\), got \(2, 5\)"):
        layer.forward(np.zeros((2, 5)))
