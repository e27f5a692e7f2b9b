"""Heat maps that depend on the weights, and ones that do not."""

import numpy as np
import pytest
from seen import small_cnn

from tinycnn.inside.randomization import randomization_check
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.pool import GlobalAveragePool2D
from tinycnn.model import Sequential


@pytest.fixture
def images():
    return np.random.default_rng(5).integers(0, 256, (5, 12, 20, 3), dtype=np.uint8)


def test_randomized_weights_change_the_maps_but_not_the_model():
    rng = np.random.default_rng(2)
    labels = np.arange(60) % 3
    images = rng.integers(0, 90, (60, 12, 12, 1), dtype=np.uint8)
    for i, label in enumerate(labels):  # a bright square in a corner that belongs to the class
        row, column = ((1, 1), (1, 7), (7, 4))[label]
        images[i, row : row + 4, column : column + 4] += 150
    model = small_cnn()
    model.fit((images, labels), epochs=6, verbose=0)
    before = model.get_weights()
    correlations = randomization_check(model, images[:12])
    assert list(correlations) == ["dense_1", "dense", "conv2d_1", "conv2d"]
    assert correlations == randomization_check(model, images[:12])
    assert all(np.array_equal(before[key], value) for key, value in model.get_weights().items())
    assert correlations["conv2d"] < 0.6
    assert all(-1 <= value <= 1 for value in correlations.values())


def test_maps_that_show_the_image_whatever_the_weights_stay_alike(images):
    model = Sequential([Conv2D(1, 1, use_bias=False, kernel_initializer="he_normal"), GlobalAveragePool2D(), Dense(1)])
    # One channel and one class: whatever the weights, the map is the image or, with another sign, its dark side.
    model.build((12, 20, 1))
    model.set_weights({"conv2d/kernel": np.ones((1, 1, 1, 1)), "dense/kernel": np.ones((1, 1)), "dense/bias": [0]})
    values = set(np.round(list(randomization_check(model, images[..., :1]).values()), 6))
    assert values <= {0.0, 1.0}


def test_any_method_can_be_checked(images):
    classes = []

    def edges(model, films, called):
        classes.append(called.tolist())
        return np.abs(np.diff(films.sum(axis=3, dtype=float), axis=1))

    model = small_cnn()
    correlations = randomization_check(model, images, explain=edges)
    assert list(correlations.values()) == [1.0] * 4  # edges of the image, whatever the network
    assert classes == [model.predict(images).argmax(axis=1).tolist()] * 5
