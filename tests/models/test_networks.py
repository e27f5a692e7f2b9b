"""The small networks: everything in them is wired, they learn, and any image size will do."""

import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.kernels.sets import get_kernels
from tinycnn.model import Sequential
from tinycnn.models.networks import deep_encoder, film_cnn, small_resnet, small_vgg
from tinycnn.optimizers import SGD, Adam

EVERY = pytest.mark.parametrize("make", [small_vgg, small_resnet, deep_encoder, film_cnn])


def pictures(n=8, size=(16, 20), channels=1, seed=0):
    """Noise, with a bright quarter that depends on the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = rng.integers(0, 120, (n, *size, channels))
    for image, label in zip(images, labels, strict=True):
        image[: 4 + 5 * label, : 4 + 5 * label] += 100
    return images.astype(np.uint8), labels


@EVERY
def test_every_parameter_and_running_moment_moves_after_a_step(make):
    model = make(filters=(4, 6))
    model.build((16, 20, 1))
    before = model.get_weights()
    model.fit(pictures(), epochs=1, batch_size=8, optimizer=SGD(0.1), verbose=0)
    assert [key for key, array in model.get_weights().items() if (before[key] == array).all()] == []


@EVERY
def test_gradients(make):
    options = {"blocks": 2} if make is small_resnet else {}
    model = make(filters=(2, 3), **options)
    model.build((8, 12, 2), dtype=np.float64)
    x = np.random.default_rng(0).normal(size=(3, 8, 12, 2))
    mode = "exact" if get_kernels() == "fast" or make is film_cnn else "random"
    assert gradcheck(model, x, mode=mode, training=True).ok


@EVERY
def test_learns_eight_images_by_heart(make):
    data = pictures()
    model = make(filters=(8, 16), dropout=0.0, seed=1)
    model.fit(data, epochs=60, batch_size=8, optimizer=Adam(1e-2), verbose=0)
    assert model.evaluate(data)["accuracy"] == 1


@EVERY
def test_weights_do_not_depend_on_the_image_size(make, tmp_path):
    small, large = make(filters=(4, 6, 8)), make(filters=(4, 6, 8))
    assert small.build((16, 17, 3)) == large.build((45, 24, 3)) == (3,)
    large.set_weights(small.get_weights())
    small.save(tmp_path / "model.npz")
    images = pictures(2, (16, 17), 3)[0]
    assert (Sequential.load(tmp_path / "model.npz").predict(images) == small.predict(images)).all()


@EVERY
def test_same_seed_same_weights_and_another_other(make):
    models = [make(filters=(4,), seed=seed) for seed in (0, 0, 1)]
    for model in models:
        model.build((8, 8, 1))
    first, same, other = (model.get_weights() for model in models)
    assert all((first[key] == same[key]).all() for key in first)
    assert any((first[key] != other[key]).any() for key in first)


@EVERY
def test_what_cannot_be(make):
    with pytest.raises(ValueError, match=f"{make.__name__} needs at least 2 classes, got 1"):
        make(classes=1)
    with pytest.raises(ValueError, match=f"{make.__name__} needs filters"):
        make(filters=())


def test_a_resnet_of_more_blocks_halves_the_image_once_a_stage():
    model = small_resnet(filters=(4, 8, 16), blocks=3)
    model.build((64, 48, 1))
    shapes = [layer.output_shape for layer in model.layers if type(layer).__name__ == "Residual"]
    assert shapes == [(32, 24, 4)] * 3 + [(16, 12, 8)] * 3 + [(8, 6, 16)] * 3
    with pytest.raises(ValueError, match="at least 1 block"):
        small_resnet(blocks=0)


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
