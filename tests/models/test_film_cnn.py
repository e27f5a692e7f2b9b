"""The film network: everything in it is wired, it learns, and its sizes are what its text says."""

import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.model import Sequential
from tinycnn.models.film_cnn import film_cnn
from tinycnn.optimizers import SGD, Adam


def pictures(n=9, size=(18, 23)):
    """Noise with one bright corner, which is the class."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    images = rng.normal(0, 0.3, (n, *size, 1)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[: 5 + 6 * label, : 5 + 6 * label] += 1
    return images, labels


def test_every_parameter_and_running_moment_moves_after_a_step():
    model = film_cnn(filters=(4, 6))
    model.build((18, 23, 1))
    before = model.get_weights()
    model.fit(pictures(), epochs=1, batch_size=9, optimizer=SGD(0.1), verbose=0)
    assert [key for key, array in model.get_weights().items() if (before[key] == array).all()] == []


def test_gradients():
    model = film_cnn(filters=(2, 3), dropout=0.0)
    model.build((9, 14, 2), dtype=np.float64)
    assert gradcheck(model, np.random.default_rng(0).normal(size=(3, 9, 14, 2)), training=True).ok


def test_learns_nine_images_by_heart():
    model = film_cnn(filters=(8, 16), dropout=0.0, seed=1)
    model.fit(pictures(), epochs=60, batch_size=9, optimizer=Adam(1e-2), verbose=0)
    assert model.evaluate(pictures())["accuracy"] == 1


def test_nine_places_remain_of_a_film_of_96():
    model = film_cnn()
    model.build((96, 96, 1))
    last = [layer for layer in model.layers if layer.name.startswith("re_lu")][-1]
    assert last.output_shape == (3, 3, 128)
    assert model.build((32, 45, 3)) == (3,), "other sizes and channels"


def test_a_place_of_the_last_level_sees_153_pixels():
    model = film_cnn(filters=(1, 1, 1, 1, 1), dropout=0.0)
    model.build((384, 384, 1))
    last = [layer.name for layer in model.layers].index("re_lu_4")
    body = Sequential(model.layers[: last + 1])
    body.build((384, 384, 1))
    for layer in body.layers:
        if "kernel" in layer.params:
            layer.params["kernel"][...] = 1  # with positive inputs every path stays open
    image = np.random.default_rng(0).random((1, 384, 384, 1)).astype(np.float32)
    centre = body.forward(image)[0, 6, 6, 0]
    seen = []
    for row in range(384):  # max-pools pass one of four: a raised row wins in all of them
        raised = image.copy()
        raised[0, row] += 10
        if body.forward(raised)[0, 6, 6, 0] != centre:
            seen.append(row)
    assert len(seen) == 153 == seen[-1] - seen[0] + 1


def test_what_cannot_be():
    with pytest.raises(ValueError, match="film_cnn needs at least 2 classes, got 1"):
        film_cnn(classes=1)
    with pytest.raises(ValueError, match="film_cnn needs filters"):
        film_cnn(filters=())
