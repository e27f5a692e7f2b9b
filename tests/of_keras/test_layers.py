import numpy as np
import pytest

import tinycnn.layers
from tinycnn.keras import layers

X = np.random.default_rng(0).random((16, 6, 6, 2), np.float32)


def test_every_name_is_there_and_every_layer_of_tinycnn_has_one():
    assert all(getattr(layers, name) is not None for name in layers.__all__)
    own = set(tinycnn.layers.__all__) - {"GELU", "ReLU6", "SiLU", "Sigmoid", "Softplus", "Tanh"}  # activations by name
    assert own <= set(layers.__all__)


def test_random_layers_are_augmentation():
    for mode, flips in (("horizontal", (0.5, 0)), ("vertical", (0, 0.5)), ("horizontal_and_vertical", (0.5, 0.5))):
        augment = layers.RandomFlip(mode).augment
        assert (augment.flip, augment.vertical_flip) == flips
    assert layers.RandomRotation(0.1).augment.rotation == 36 and layers.RandomZoom((-0.2, 0.2)).augment.zoom == 0.2
    assert (
        layers.RandomTranslation(0.1, 0.1).augment.shift == 0.1 and layers.RandomContrast(0.3).augment.contrast == 0.3
    )
    assert layers.RandomZoom(0.3, 0.3).augment.zoom == layers.RandomZoom(height_factor=0.3).augment.zoom == 0.3
    assert layers.RandomRotation(0.1).augment.fill_mode == "reflect"
    for make in (
        lambda: layers.RandomFlip("sideways"),
        lambda: layers.RandomZoom((0, 0.2)),
        lambda: layers.RandomZoom(0.1, 0.2),
        lambda: layers.RandomTranslation(0.1, 0.2),
    ):
        with pytest.raises(ValueError, match="^Random"):
            make()


def test_activation_is_the_layer_of_that_name():
    assert isinstance(layers.Activation("relu"), layers.ReLU)
    np.testing.assert_array_equal(layers.Activation("linear").forward(X), X)
