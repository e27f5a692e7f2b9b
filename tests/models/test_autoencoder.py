"""The denoising autoencoder: noise, training without copies of the data, and its two uses."""

import tracemalloc

import numpy as np
import pytest

from tinycnn.data.dataset import Dataset
from tinycnn.gradcheck import gradcheck
from tinycnn.losses import MeanSquaredError
from tinycnn.models.autoencoder import (
    NoiseAugment,
    add_noise,
    copy_encoder,
    denoise,
    denoising_autoencoder,
    fit_autoencoder,
)
from tinycnn.models.report_cnn import report_cnn
from tinycnn.optimizers import SGD, Adam
from tinycnn.study.films.phantoms import chest_phantoms


@pytest.fixture(scope="module")
def films():
    return chest_phantoms(n_train=8, n_test=2, size=32, mode="L", seed=3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("level", [0.02, 0.1])
def test_noise_has_the_level_that_was_asked_for(dtype, level):
    full = 255 if dtype == np.uint8 else 1
    grey = np.full((3, 50, 40, 1), full // 2 if full == 255 else 0.5, dtype)
    noisy = add_noise(grey, level, np.random.default_rng(0))
    difference = (noisy.astype(float) - grey) / full
    assert noisy.dtype == dtype
    assert difference.std() == pytest.approx(level, rel=0.05)
    assert abs(difference.mean()) < level / 20


def test_noise_stays_in_range_shares_channels_and_leaves_its_input_alone():
    images = np.random.default_rng(1).integers(0, 2, (2, 30, 20, 3), np.uint8) * np.uint8(255)
    before = images.copy()
    noisy = add_noise(images, 0.5, np.random.default_rng(0))
    assert (images == before).all()
    assert noisy[images == 0].mean() < 100 and noisy[images == 255].mean() > 155  # nothing wrapped around
    grey = np.full((1, 9, 9, 3), 128, np.uint8)
    noisy = add_noise(grey, 0.1, np.random.default_rng(0))
    assert (noisy == noisy[..., :1]).all() and noisy.std() > 5


def test_each_image_draws_its_level_from_a_range():
    noisy = add_noise(np.full((50, 20, 20, 1), 0.5), (0.01, 0.1), np.random.default_rng(0))
    levels = noisy.std(axis=(1, 2, 3))
    assert levels.min() < 0.03 and levels.max() > 0.08
    assert (add_noise(noisy, 0, np.random.default_rng(0)) == noisy).all()


def test_wrong_noise():
    images = np.zeros((1, 4, 4, 1), np.uint8)
    for level in (-0.1, (0.2, 0.1)):
        with pytest.raises(ValueError, match="0 or more"):
            add_noise(images, level, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"int64 \(1, 4, 4, 1\)"):
        add_noise(images.astype(int), 0.1, np.random.default_rng(0))


def test_every_parameter_moves_after_a_step_and_gradients_are_right():
    model = denoising_autoencoder(channels=2, filters=(3, 4))
    model.build((8, 12, 2), dtype=np.float64)
    assert gradcheck(model, np.random.default_rng(0).random((2, 8, 12, 2))).ok
    before = model.get_weights()
    images = np.random.default_rng(1).random((4, 8, 12, 2))
    fit_autoencoder(model, images, epochs=1, optimizer=SGD(1.0), verbose=0)
    assert all((before[key] != array).any() for key, array in model.get_weights().items())


def test_learns_eight_images_by_heart_and_removes_noise(films):
    train = films.train[range(0, 24, 3)]
    model = denoising_autoencoder(channels=1, filters=(16, 16))
    fit_autoencoder(model, train, level=0.15, epochs=250, batch_size=8, optimizer=Adam(5e-3), verbose=0)
    noisy = add_noise(train.images, 0.15, np.random.default_rng(9))
    cleaned = denoise(model, Dataset(noisy, train.labels, train.class_names)).images

    def error(images):
        return np.mean((images.astype(float) - train.images) ** 2)

    assert error(cleaned) < 0.3 * error(noisy)


def test_fit_keeps_one_copy_of_the_images():
    images = np.random.default_rng(0).integers(0, 256, (400, 80, 80, 1), np.uint8)  # what steps leave for gc is 0.5 MB
    model = denoising_autoencoder(channels=1, filters=(1,))
    fit_autoencoder(model, images[:4], epochs=1, batch_size=4, verbose=0)  # buffers and compiled kernels
    tracemalloc.start()
    fit_autoencoder(model, images, epochs=1, batch_size=4, verbose=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes / 2


def test_options_reach_fit_and_validation_is_scored(films):
    model = denoising_autoencoder(channels=1, filters=(2,))
    history = fit_autoencoder(model, films.train, films.test, epochs=2, verbose=0)
    assert len(history["val_loss"]) == 2
    clean = films.test.images
    noisy = add_noise(clean, 0.1, np.random.default_rng(0))
    by_hand = model.evaluate((noisy, clean), loss=MeanSquaredError())["loss"]
    assert history["val_loss"][1] == pytest.approx(by_hand, rel=1e-5)


def test_new_noise_every_time():
    noise, rng = NoiseAugment(0.1), np.random.default_rng(0)
    images = np.full((2, 8, 8, 1), 100, np.uint8)
    assert (noise(images, rng) != noise(images, rng)).any()


def test_denoise_keeps_everything_but_the_pixels(films):
    model = denoising_autoencoder(channels=1, filters=(2,))
    cleaned = denoise(model, films.test, batch_size=4)
    assert cleaned.images.dtype == np.uint8 and cleaned.images.shape == films.test.images.shape
    assert (cleaned.labels == films.test.labels).all()
    assert (cleaned.paths, cleaned.class_names) == (films.test.paths, films.test.class_names)
    np.testing.assert_allclose(cleaned.images / 255, model.predict(films.test), atol=0.5 / 255 + 1e-6)


def test_a_linear_end_is_clipped(films):
    model = denoising_autoencoder(channels=1, filters=(2,), activation=None)
    model.build((32, 32, 1))
    last = [key for key in model.get_weights() if key.endswith("bias")][-1]
    model.set_weights(model.get_weights() | {last: np.array([7.0])})
    assert (denoise(model, films.test).images == 255).all()


def test_the_encoder_moves_into_the_reports_network(films):
    autoencoder, network = denoising_autoencoder(), report_cnn()
    autoencoder.build((32, 32, 3)), network.build((32, 32, 3))
    before = network.get_weights()
    assert copy_encoder(autoencoder, network) == ["conv2d", "conv2d_1"]
    after, theirs = network.get_weights(), autoencoder.get_weights()
    for key in after:
        if key.startswith(("conv2d/", "conv2d_1/")):
            assert (after[key] == theirs[key]).all()
        else:
            assert (after[key] == before[key]).all()
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    codes = []
    for model in (autoencoder, network):
        codes.append(images / np.float32(255))
        for layer in model.layers[:4]:
            codes[-1] = layer.forward(codes[-1])
    assert (codes[0] == codes[1]).all() and codes[0].std() > 0


def test_only_the_encoders_matching_front_is_copied():
    autoencoder, network = denoising_autoencoder(filters=(32, 16)), report_cnn()
    with pytest.raises(ValueError, match="'denoising_autoencoder' must be built"):
        copy_encoder(autoencoder, network)
    autoencoder.build((32, 32, 3)), network.build((32, 32, 3))
    assert copy_encoder(autoencoder, network) == ["conv2d"]
    grey = denoising_autoencoder(channels=1)
    grey.build((32, 32, 1))
    with pytest.raises(ValueError, match=r"\(3, 3, 1, 32\) and \(3, 3, 3, 32\)"):
        copy_encoder(grey, network)


def test_no_filters():
    with pytest.raises(ValueError, match="at least one convolution"):
        denoising_autoencoder(filters=())
