"""Gradients against finite differences; what they become against the equations, written out plainly."""

import numpy as np
import pytest
from seen import brute_score, small_cnn, tiny_network

from tinycnn.inside.saliency import guided_backpropagation, integrated_gradients, saliency, smooth_grad
from tinycnn.kernels.sets import set_kernels
from tinycnn.layers.activation import ReLU
from tinycnn.layers.dense import Dense
from tinycnn.layers.parallel import Parallel
from tinycnn.layers.reshape import Flatten
from tinycnn.layers.residual import Residual
from tinycnn.model import Sequential

METHODS = [saliency, guided_backpropagation, smooth_grad, integrated_gradients]


def images_of(model, n=2, seed=0):
    return np.random.default_rng(seed).random((n, *model.input_shape))


def test_saliency_is_the_finite_difference_of_every_pixel():
    model = tiny_network()
    image = images_of(model, 1)
    gradient, step = saliency(model, image, 1)[0], 1e-6
    for index in np.ndindex(gradient.shape):
        above, below = image[0].copy(), image[0].copy()
        above[index] += step
        below[index] -= step
        numeric = (brute_score(model, above, 1) - brute_score(model, below, 1)) / (2 * step)
        assert np.isclose(gradient[index], numeric, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_integrated_gradients_add_up_to_the_difference_of_the_scores(activation):
    model = tiny_network(activation)
    images = images_of(model, 2)

    def error(baseline, steps):
        start = np.broadcast_to(baseline, images.shape[1:])
        total = integrated_gradients(model, images, 2, baseline, steps=steps).sum(axis=(1, 2, 3))
        return np.abs(total - [brute_score(model, image, 2) - brute_score(model, start, 2) for image in images]).max()

    assert error(0.0, 20) < 1e-3 and error(0.0, 200) < 1e-5  # by this way, no max-pool changes its winner
    assert error(images_of(model, 1, seed=1)[0], 200) < 5e-3  # where one does, the rule is exact only in the limit


def test_integrated_gradients_are_exact_for_a_linear_model_in_one_step():
    model = Sequential([Flatten(), Dense(2)])
    model.build((2, 3, 2), dtype=np.float64)
    images = images_of(model)
    kernel = model.get_weights()["dense/kernel"][:, 1].reshape(2, 3, 2)
    assert np.allclose(integrated_gradients(model, images, 1, 0.25, steps=1), (images - 0.25) * kernel)


def test_guided_backpropagation_by_hand():
    model = Sequential([Flatten(), Dense(3, use_bias=False), ReLU(), Dense(1, use_bias=False)])
    model.build((1, 2, 1), dtype=np.float64)
    first, last = np.array([[1.0, -1.0, 2.0], [1.0, 1.0, -3.0]]), np.array([[1.0], [-2.0], [1.0]])
    model.set_weights({"dense/kernel": first, "dense_1/kernel": last})
    image = np.array([[[[1.0], [2.0]]]])  # before the ReLU: 3, 1, -4; the second speaks against, the third is silent
    assert np.allclose(saliency(model, image, 0).ravel(), [1 * 1 + -1 * -2, 1 * 1 + 1 * -2])
    assert np.allclose(guided_backpropagation(model, image, 0).ravel(), [1, 1])


def test_guided_backpropagation_reaches_relus_within_layers_and_blocks():
    """A network whose ReLUs are activations is guided as one whose ReLUs stand alone."""
    model = tiny_network("relu")
    image = images_of(model, 1)
    conv, pool, block, flatten, dense, last = model.layers
    z = conv.forward_linear(image)
    a = ReLU()
    h = pool.forward(a.forward(z))
    inner, b, c, d = block.layers[0], ReLU(), ReLU(), ReLU()
    s = c.forward(h + b.forward(inner.forward_linear(h)))
    last.forward_linear(d.forward(dense.forward_linear(flatten.forward(s))))
    grad = last.backward_linear(np.array([[0.0, 1, 0]]))
    grad = flatten.backward(dense.backward_linear(d.backward(np.maximum(grad, 0))))
    grad = c.backward(np.maximum(grad, 0))
    grad = grad + inner.backward_linear(b.backward(np.maximum(grad, 0)))
    expected = conv.backward_linear(a.backward(np.maximum(pool.backward(grad), 0)))
    found = guided_backpropagation(model, image, 1)
    assert np.allclose(found, expected) and not np.allclose(found, saliency(model, image, 1))


def test_guided_backpropagation_reaches_relus_within_branches():
    """Branches are guided as the residual block that computes the same."""
    inner, last = Dense(6, activation="relu"), Dense(2)
    blocks = Residual([inner], activation="relu"), Parallel([[], Dense(6, activation="relu")], "add", "relu")
    models = [Sequential([Flatten(), block, last if block is blocks[0] else Dense(2)]) for block in blocks]
    for model in models:
        model.build((2, 3, 1))
    for mine, theirs in zip(models[1].all_layers(), models[0].all_layers(), strict=True):
        for key, param in mine.params.items():
            param[...] = theirs.params[key]
    image = images_of(models[0], 1)
    found, expected = (guided_backpropagation(model, image, 1) for model in models)
    assert np.array_equal(found, expected) and not np.allclose(found, saliency(models[1], image, 1))


def test_smooth_grad_is_the_mean_over_noisy_copies():
    model = tiny_network()
    images = images_of(model)
    rng = np.random.default_rng(7)
    spread = images.max(axis=(1, 2, 3)) - images.min(axis=(1, 2, 3))
    expected = np.zeros_like(images)
    for _ in range(5):
        noise = rng.standard_normal(images.shape) * 0.2 * spread[:, None, None, None]
        expected += saliency(model, images + noise, 1) / 5
    assert np.allclose(smooth_grad(model, images, 1, samples=5, noise=0.2, seed=7), expected)
    assert np.allclose(smooth_grad(model, images, 1, samples=2, noise=0), saliency(model, images, 1))


@pytest.mark.parametrize("method", METHODS)
def test_bytes_batches_classes_and_the_model_left_as_it_was(method):
    images = np.random.default_rng(5).integers(0, 256, (3, 12, 20, 3), dtype=np.uint8)
    model = small_cnn()
    before = model.predict(images)
    attributions = method(model, images)
    assert attributions.shape == images.shape and attributions.dtype == np.float32
    assert np.array_equal(model.predict(images), before)
    called = before.argmax(axis=1)
    close = {"rtol": 1e-3, "atol": 1e-4 * np.abs(attributions).max()}
    np.testing.assert_allclose(method(model, (images / 255).astype(np.float32), called), attributions, **close)
    if method is not smooth_grad:  # its noise is drawn batch by batch
        np.testing.assert_allclose(method(model, images, batch_size=2), attributions, **close)
    with pytest.raises(ValueError, match=r"0\.\.2"):
        method(model, images, 3)


def test_guided_backpropagation_is_the_same_with_every_kernel_set():
    images = np.random.default_rng(5).integers(0, 256, (2, 12, 20, 3), dtype=np.uint8)
    model = small_cnn()
    model.build((12, 20, 3), dtype=np.float64)
    found = []
    try:
        for kernels in ("reference", "im2col", "fast"):
            set_kernels(kernels)
            found.append(guided_backpropagation(model, images, 1))
    finally:
        set_kernels("fast")
    assert np.allclose(found[0], found[1], atol=1e-12) and np.allclose(found[0], found[2], atol=1e-12)


def test_impossible_options_are_named():
    model = tiny_network()
    images = images_of(model)
    for options in ({"samples": 0}, {"noise": -0.1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            smooth_grad(model, images, **options)
    with pytest.raises(ValueError, match="steps must be a positive int"):
        integrated_gradients(model, images, steps=0)
    with pytest.raises(ValueError, match=r"baseline must be a number or have the shape \(6, 4, 2\), got \(2,\)"):
        integrated_gradients(model, images, baseline=np.zeros(2))
