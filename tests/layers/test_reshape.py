import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers.reshape import Flatten, Reshape


@pytest.mark.parametrize(
    ("target", "output"),
    [((60,), (60,)), ((-1,), (60,)), ((5, -1, 2), (5, 6, 2)), ((4, 3, 5), (4, 3, 5)), ((60, -1), (60, 1))],
)
def test_reshape(target, output):
    layer = Reshape(target)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    assert layer.forward(x).shape == (2, *output)
    assert layer.output_shape == output
    assert gradcheck(Reshape(target), x).ok


def test_order_is_row_major_and_nothing_is_copied():
    x = np.arange(24, dtype=np.float32).reshape(2, 2, 3, 2)
    for layer in (Flatten(), Reshape((3, 4))):
        y = layer.forward(x)
        assert y.ravel().tolist() == list(range(24))
        assert np.shares_memory(x, y)
        grad_x = layer.backward(y)
        assert grad_x.shape == x.shape and np.array_equal(grad_x, x)


def test_flatten():
    layer = Flatten()
    assert layer.build((3, 5, 2)) == (30,)
    assert Flatten().build((7,)) == (7,)
    assert gradcheck(Flatten(), np.random.default_rng(0).normal(size=(2, 3, 4))).ok


def test_flatten_agrees_with_keras():
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    assert np.array_equal(Flatten().forward(x), np.array(keras.layers.Flatten()(x)))


@pytest.mark.parametrize("target", [0, "12", (2.5, 4), ("3", 4)])
def test_what_is_no_shape_is_refused(target):
    with pytest.raises(ValueError, match="must be a tuple of whole numbers, got "):
        Reshape(target)


@pytest.mark.parametrize("target", [(), (-1, -1), (0, 3), (-2, 4), (3, -1, -1)])
def test_bad_targets_are_refused(target):
    with pytest.raises(ValueError, match="target_shape must have entries >= 1"):
        Reshape(target)


@pytest.mark.parametrize("target", [(7, -1), (59,), (30,), (61, -1)])
def test_misfits_name_both_sizes(target):
    with pytest.raises(ValueError, match=r"60 numbers of input shape \(3, 4, 5\) do not fill.*" + str(target[0])):
        Reshape(target).build((3, 4, 5))


def test_config_makes_it_again():
    assert Reshape(**Reshape((3, -1)).config()).target_shape == (3, -1)
    assert Flatten(**Flatten().config()).build((2, 3)) == (6,)


@pytest.mark.parametrize(
    "number, hint", [(60, "; write Reshape((60,))"), (-1, "; write Reshape((-1,))"), (0, ""), (-2, "")]
)
def test_a_number_that_can_be_a_shape_is_told_to_become_a_tuple(number, hint):
    with pytest.raises(ValueError) as error:
        Reshape(number)
    assert str(error.value) == f"Reshape: target_shape must be a tuple of whole numbers, got {number}{hint}"
