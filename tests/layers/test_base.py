import numpy as np
import pytest

from tinycnn.layers.base import Layer, pair


class Scale(Layer):
    """``y = kernel * x`` with one factor for each entry of the last axis."""

    def __init__(self, start=2.0, name=None):
        super().__init__(name)
        self.start = start

    def config(self):
        return {"start": self.start}

    def create(self, input_shape):
        self.params["kernel"] = np.full(input_shape[-1], self.start, self.dtype)
        self.state["seen"] = np.zeros(1, self.dtype)

    def forward(self, x, training=False):
        self.x = self._enter(x)
        return self.x * self.params["kernel"]

    def backward(self, grad_y):
        grad_y = self._enter_backward(grad_y)
        self.grads["kernel"][...] = (grad_y * self.x).reshape(-1, self.x.shape[-1]).sum(axis=0)
        return grad_y * self.params["kernel"]


def test_first_forward_builds():
    layer = Scale()
    y = layer.forward(np.ones((2, 5, 3), np.float32))
    assert layer.input_shape == layer.output_shape == (5, 3)
    assert y.dtype == layer.dtype == np.float32
    assert layer.params.keys() == layer.grads.keys() == {"kernel"}
    assert layer.count_params == 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_built_dtype_wins(dtype):
    layer = Scale()
    assert layer.build((3,), dtype=dtype) == (3,)
    for given in (np.float32, np.float64, np.int64, np.uint8, bool):
        assert layer.forward(np.ones((2, 3), given)).dtype == dtype
        assert layer.backward(np.ones((2, 3), given)).dtype == dtype


def test_inputs_become_contiguous():
    layer = Scale()
    layer.forward(np.ones((3, 4, 2)).transpose(2, 1, 0))
    assert layer.x.flags.c_contiguous and layer.x.shape == (2, 4, 3)


def test_other_dtypes_are_refused():
    with pytest.raises(ValueError, match="Scale 'mine'.*float16"):
        Scale(name="mine").build((3,), dtype=np.float16)


def test_backward_before_forward():
    layer = Scale()
    layer.build((3,))
    with pytest.raises(RuntimeError, match="Scale: backward was called before forward"):
        layer.backward(np.ones((2, 3)))


def test_backward_overwrites_gradients():
    layer = Scale()
    layer.forward(np.ones((2, 3)))
    for _ in range(2):
        layer.backward(np.ones((2, 3)))
        assert layer.grads["kernel"].tolist() == [2, 2, 2]


def test_misfits_name_layer_and_sizes():
    layer = Scale(name="mine")
    layer.index = 4
    layer.build((5, 3))
    with pytest.raises(ValueError, match=r"Scale 'mine' \(layer 4 of the model\).*images, 5, 3\), got \(2, 6, 3\)"):
        layer.forward(np.ones((2, 6, 3)))
    with pytest.raises(ValueError, match=r"batch of no images: shape \(0, 5, 3\)"):
        layer.forward(np.ones((0, 5, 3)))
    layer.forward(np.ones((2, 5, 3)))
    with pytest.raises(ValueError, match=r"gradient of shape \(2, 3, 5\) does not fit.*\(2, 5, 3\)"):
        layer.backward(np.ones((2, 3, 5)))
    with pytest.raises(ValueError, match=r"\(3, 0\) has an axis smaller than 1"):
        layer.build((3, 0))


def test_buffers_are_reused_only_inside_a_model():
    layer = Scale()
    layer.build((3,))
    assert not np.shares_memory(layer._buffer("y", (2, 3)), layer._buffer("y", (2, 3)))
    layer._workspace = {}
    large = layer._buffer("y", (4, 3))
    small = layer._buffer("y", (2, 3))
    assert np.shares_memory(large, small) and small.shape == (2, 3) and small.flags.c_contiguous
    assert not np.shares_memory(large, layer._buffer("x", (4, 3)))
    assert layer._buffer("y", (5, 3)).shape == (5, 3)
    assert layer._buffer("mask", (2, 2), bool).dtype == bool


def test_registry_and_repr():
    assert Layer.registry["Scale"] is Scale
    assert repr(Scale(3.5)) == "Scale(start=3.5)"


def test_pair():
    assert pair(3, "size") == (3, 3)
    assert pair((2, np.int64(5)), "size") == (2, 5)
    for bad in (0, (1, 2, 3), (1.5, 2), (0, 1)):
        with pytest.raises(ValueError, match="size must be a positive int or a pair"):
            pair(bad, "size")
