"""`from_keras` and `to_keras`, in one file since TensorFlow takes long to import."""

import os

import numpy as np
import pytest
from chains import CHAINS, differ, images, network

import tinycnn
from tinycnn.interop.keras_models import from_keras, to_keras
from tinycnn.layers import Residual
from tinycnn.walk import penalty

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def predicted(model, x):
    return np.asarray(model(x, training=False))


@pytest.mark.parametrize("name", CHAINS)
def test_keras_gives_the_same_numbers_and_it_comes_back(keras, name):
    model, x = network(name, np.float32), images(np.float32)
    theirs = to_keras(model)
    ours = model.forward(x)
    assert differ(ours, predicted(theirs, x)) < 1e-5
    back = from_keras(theirs)
    weights = np.random.default_rng(7).normal(size=ours.shape)
    assert differ(back.forward(x), ours) < 1e-5
    assert differ(back.backward(weights), model.backward(weights)) < 1e-5


def unlike(model):
    """The Keras model, no weight at its initial value."""
    rng = np.random.default_rng(0)
    model.set_weights([abs(rng.normal(size=w.shape)) * 0.2 + 0.1 if w.ndim == 1 else w for w in model.get_weights()])
    return model


def agree(theirs, shape):
    x = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    model = from_keras(unlike(theirs))
    assert differ(model.forward(x), predicted(theirs, x)) < 1e-5
    return model


def test_resnet_as_keras_writes_it(keras):
    """ZeroPadding2D before convolutions and the pool, biases, an epsilon of 1e-5: as keras.applications has."""
    k = keras.layers

    def norm(x):
        return k.BatchNormalization(epsilon=1.001e-5)(x)

    x = start = keras.Input((40, 48, 3))
    x = k.Activation("relu")(norm(k.Conv2D(8, 7, 2)(k.ZeroPadding2D(3)(x))))
    x = k.MaxPooling2D(3, 2)(k.ZeroPadding2D(1)(x))
    for width, stride in ((8, 1), (8, 1), (16, 2), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1)):
        shortcut = x if x.shape[-1] == width else norm(k.Conv2D(width, 1, stride)(x))
        x = k.ReLU()(norm(k.Conv2D(width, 3, stride, "same")(x)))
        x = k.Add()([shortcut, norm(k.Conv2D(width, 3, padding="same")(x))])
        x = k.Activation("relu")(x)
    x = k.Dense(10, activation="softmax")(k.GlobalAveragePooling2D()(x))
    model = agree(keras.Model(start, x), (40, 48, 3))
    assert sum(isinstance(layer, Residual) for layer in model.layers) == 8


def test_vgg16_as_keras_writes_it_and_a_model_inside_a_model(keras):
    k = keras.layers
    x = start = keras.Input((32, 32, 3))
    for width, times in ((4, 2), (8, 2), (16, 3), (32, 3), (32, 3)):
        for _ in range(times):
            x = k.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = k.MaxPooling2D(2, 2)(x)
    body = keras.Model(start, x, name="body")
    head = [k.Flatten(), k.Dense(64, "relu"), k.Dense(64, "relu"), k.Dropout(0.5), k.Dense(10)]
    agree(keras.Sequential([keras.Input((32, 32, 3)), body, *head]), (32, 32, 3))


def test_depthwise_convolutions_and_norms_without_scale(keras):
    k = keras.layers
    parts = [k.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), k.BatchNormalization(scale=False, center=False)]
    agree(keras.Sequential([keras.Input((6, 5, 3)), *parts, k.LeakyReLU(0.2)]), (6, 5, 3))


def test_layers_of_this_century(keras):
    k, l2 = keras.layers, keras.regularizers.L2(0.01)
    parts = [
        k.Rescaling(0.5, offset=0.25),
        k.SeparableConv2D(
            4, 3, depth_multiplier=2, depthwise_regularizer=l2, pointwise_regularizer=l2, bias_regularizer="l1"
        ),
        k.LayerNormalization(center=False),
        k.Conv2D(5, 2, activation="swish", kernel_regularizer=keras.regularizers.L1L2(0.01, 0.02)),
        k.DepthwiseConv2D(2, activation="gelu", depthwise_regularizer="l1", bias_regularizer=l2),
        k.ELU(0.5),
        k.ZeroPadding2D(1),
        k.GlobalMaxPooling2D(),
        k.Dense(4, activation="softplus", kernel_regularizer="l2"),
        k.Identity(),
        k.Rescaling(9),
        k.ReLU(6),
    ]
    theirs = keras.Sequential([keras.Input((6, 5, 3)), *parts])
    model = agree(theirs, (6, 5, 3))
    assert penalty(model.layers) == pytest.approx(float(sum(theirs.losses)), rel=1e-5)
    back = to_keras(model)
    assert float(sum(back.losses)) == pytest.approx(float(sum(theirs.losses)), rel=1e-5)


def test_what_does_not_convert_is_named(keras):
    k, orthogonal = keras.layers, keras.regularizers.OrthogonalRegularizer()
    for layer, says in (
        (k.GaussianNoise(0.1), "a GaussianNoise does not convert; Activation, Add, "),
        (k.ReLU(max_value=5, name="five"), "'five': threshold and max_value do not convert, but max_value=6 alone"),
        (k.ReLU(6, 0.1, name="six"), "'six': threshold and max_value do not convert"),
        (k.Activation("mish", name="act"), "'act': unknown activation 'mish'"),
        (k.Conv2DTranspose(2, 3, 2, output_padding=0, name="up"), "'up': output_padding and dilation_rate"),
        (k.Cropping2D(1, name="cut"), "'cut': padding by 0.0, .* is no layer here"),
        (k.LayerNormalization(axis=1, name="norm"), "'norm': axis=.*, rms_scaling=False do not convert"),
        (
            k.Conv2D(2, 1, kernel_regularizer=orthogonal, name="c"),
            "'c': a OrthogonalRegularizer does not convert",
        ),
        (k.Rescaling([0.5, 0.25], name="each"), "'each': float"),
        (k.Conv2D(2, 1, activity_regularizer="l2", name="c"), "'c': activity_regularizer does not convert"),
        (k.BatchNormalization(gamma_regularizer="l2", name="bn"), "'bn': gamma_regularizer does not convert"),
    ):
        with pytest.raises(ValueError, match=f"from_keras: .*{says}"):
            from_keras(keras.Sequential([keras.Input((8, 8, 2)), layer]))
    with pytest.raises(ValueError, match="a layer that is called twice shares its weights"):
        x = start = keras.Input((4,))
        dense = k.Dense(4, name="d")
        from_keras(keras.Model(start, dense(dense(x))))
    with pytest.raises(ValueError, match="only a built Sequential or functional model"):
        from_keras(keras.Sequential([k.Dense(2)]))
    model = tinycnn.Sequential([tinycnn.GELU(approximate=True)])
    model.build((4,))
    with pytest.raises(ValueError, match="to_keras: GELU .* has no counterpart in Keras"):
        to_keras(model)
    model = tinycnn.Sequential([tinycnn.MaxPool2D(3, padding=((0, 2), (0, 1)), strides=3)])
    model.build((4, 4, 1))
    with pytest.raises(ValueError, match="to_keras: MaxPool2D .*Keras pools with"):
        to_keras(model)
