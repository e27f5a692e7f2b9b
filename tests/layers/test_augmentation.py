import numpy as np
import pytest

from tinycnn.data import Augment
from tinycnn.layers import Conv2D, GlobalAveragePool2D
from tinycnn.layers.augmentation import Augmentation
from tinycnn.layers.registry import describe, restore
from tinycnn.model import Sequential
from tinycnn.training import fit

X = np.random.default_rng(0).random((4, 6, 5, 3), np.float32)


def test_training_augments_with_the_models_generator_and_inference_does_nothing():
    layer = Augmentation(rotation=20, flip=0.5, shift=0.1, fill_mode="reflect")
    layer.build(X.shape[1:], np.random.default_rng(7))
    expected = Augment(rotation=20, flip=0.5, shift=0.1, fill_mode="reflect")(X, np.random.default_rng(7))
    np.testing.assert_array_equal(layer.forward(X, training=True), expected)
    assert layer.backward(X, input_grad=False) is None
    with pytest.raises(RuntimeError, match="no gradient passes through augmentation"):
        layer.backward(X)
    assert layer.forward(X) is X and layer.backward(X) is X


def test_contrast_works_around_each_mean():
    y = Augmentation(contrast=0.5).forward(X + 3, training=True)
    np.testing.assert_allclose(y.mean(axis=(1, 2)), (X + 3).mean(axis=(1, 2)), rtol=1e-5)
    assert not np.allclose(y, X + 3, atol=0.01)


def test_a_network_trains_behind_it_and_follows_from_its_seed():
    histories = []
    for _ in range(2):
        model = Sequential([Augmentation(flip=0.5, noise=0.1), Conv2D(2, 3), GlobalAveragePool2D()], seed=3)
        histories.append(fit(model, (X, np.arange(4) % 2), epochs=2, verbose=0)["loss"])
    assert histories[0] == histories[1]


def test_options_are_augments_and_survive_a_file():
    layer = Augmentation(zoom=0.25)
    assert restore(describe(layer)).config() == layer.config()
    with pytest.raises(ValueError, match="Augment: flip must be from 0 to 1"):
        Augmentation(flip=2)
    with pytest.raises(ValueError, match="float32 images alone"):
        Augmentation().build((4, 4, 1), dtype=np.float64)
