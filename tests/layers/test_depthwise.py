import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers import Conv2D, DepthwiseConv2D, Residual, SeparableConv2D
from tinycnn.layers.registry import describe, restore
from tinycnn.model import Sequential

X = np.random.default_rng(0).normal(size=(2, 6, 5, 3))
OPTIONS = [
    {},
    {"strides": 2, "padding": "same"},
    {"depth_multiplier": 2, "activation": "relu"},
    {"padding": "same", "activation": "tanh", "dilation_rate": 2, "use_bias": False},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients(options):
    assert gradcheck(DepthwiseConv2D(3, **options), X).ok
    assert gradcheck(SeparableConv2D(4, 3, **options), X).ok


def test_each_channel_is_convolved_by_itself():
    layer = DepthwiseConv2D(3, depth_multiplier=2, bias_initializer="he_normal")
    y = layer.forward(X)
    for c in range(3):
        alone = Conv2D(2, 3)
        alone.build((6, 5, 1), dtype=np.float64)
        alone.params["kernel"][...] = layer.params["kernel"][..., 2 * c : 2 * c + 2]
        alone.params["bias"][...] = layer.params["bias"][2 * c : 2 * c + 2]
        np.testing.assert_allclose(y[..., 2 * c : 2 * c + 2], alone.forward(X[..., c : c + 1]), rtol=1e-10, atol=1e-12)


def test_keras_agrees():
    keras = pytest.importorskip("keras")
    x, rng = X.astype(np.float32), np.random.default_rng(1)
    ours = SeparableConv2D(4, (3, 2), strides=1, padding="same", depth_multiplier=2, activation="relu")
    theirs = keras.layers.SeparableConv2D(4, (3, 2), strides=1, padding="same", depth_multiplier=2, activation="relu")
    theirs.build(x.shape)
    ours.build(x.shape[1:])
    theirs.set_weights([rng.normal(size=w.shape) for w in theirs.get_weights()])
    depthwise, pointwise, bias = theirs.get_weights()
    ours.depthwise.params["kernel"][...] = depthwise.reshape(3, 2, 1, 6)
    ours.pointwise.params["kernel"][...], ours.pointwise.params["bias"][...] = pointwise, bias
    np.testing.assert_allclose(ours.forward(x), np.array(theirs(x)), rtol=1e-4, atol=1e-5)
    assert ours.count_params == theirs.count_params()


def test_they_come_back_from_descriptions_and_files(tmp_path):
    for layer in (DepthwiseConv2D(3, depth_multiplier=2), SeparableConv2D(4, 3, 2, activation="gelu", use_bias=False)):
        assert restore(describe(layer)).config() == layer.config()
    model = Sequential([Residual([SeparableConv2D(3, 3, padding="same")]), DepthwiseConv2D(2)])
    y = model.forward(X)
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(Sequential.load(tmp_path / "model.npz").forward(X), y)
    assert {"residual/separable_conv2d/depthwise_conv2d/kernel", "depthwise_conv2d/bias"} <= model.get_weights().keys()


def test_bad_arguments():
    with pytest.raises(ValueError, match="DepthwiseConv2D: depth_multiplier"):
        DepthwiseConv2D(3, depth_multiplier=0)
    with pytest.raises(ValueError, match="does not fit an image"):
        DepthwiseConv2D(7).build((4, 4, 2))
