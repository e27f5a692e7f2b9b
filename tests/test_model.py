"""Sequential: wiring, names, and what it refuses."""

import threading

import numpy as np
import pytest
from toys import Affine, Bend, Pair, batch, small_model

from tinycnn.layers.conv import Conv2D
from tinycnn.layers.pool import MaxPool2D
from tinycnn.layers.steps import plan
from tinycnn.model import Sequential

pytestmark = pytest.mark.usefixtures("kernels")


def test_results_belong_to_the_caller():
    model, x = small_model(), batch()
    first = model.forward(x)
    kept = first.copy()
    model.forward(x + 1)
    np.testing.assert_array_equal(first, kept)
    grad = model.backward(np.ones((4, 3), np.float32))
    kept = grad.copy()
    model.forward(x)
    model.backward(np.ones((4, 3), np.float32))
    np.testing.assert_array_equal(grad, kept)


def test_logits_leave_out_the_softmax_at_the_end():
    model, x = small_model(), batch()
    probabilities, logits = model.forward(x), model.forward(x, logits=True)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    odds = np.log(probabilities[:, 0] / probabilities[:, 2])
    np.testing.assert_allclose(odds, logits[:, 0] - logits[:, 2], rtol=1e-4)


def test_bytes_are_scaled_and_floats_are_not():
    model = Sequential([Affine(2)])
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 3, 1), dtype=np.uint8)
    np.testing.assert_allclose(model.forward(images), model.forward(images / 255), rtol=1e-5)
    np.testing.assert_allclose(model.forward(images) * 255, model.forward(images.astype(np.float32)), rtol=1e-5)


def test_gradients_agree_with_finite_differences():
    model = Sequential([Affine(5), Bend(), Pair(4), Affine(3)])
    x = batch(dtype=np.float64)
    rng = np.random.default_rng(2)
    upstream = rng.normal(size=model.forward(x).shape)
    assert model.dtype == np.float64
    grad_x = model.backward(upstream)
    grads = {key: grad.copy() for key, _, grad in model.parameters()}
    arrays = {key: param for key, param, _ in model.parameters()} | {"x": x}
    for key, array in arrays.items():
        direction = rng.normal(size=array.shape)
        values = []
        for sign in (1, -1):
            array += sign * 1e-6 * direction
            values.append((model.forward(x) * upstream).sum())
            array -= sign * 1e-6 * direction
        expected = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose(((grad_x if key == "x" else grads[key]) * direction).sum(), expected, rtol=1e-6)


def test_backward_without_input_gradient_gives_the_same_parameter_gradients():
    model, x, upstream = small_model(), batch(), np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)
    model.forward(x)
    assert model.backward(upstream).shape == x.shape
    full = {key: grad.copy() for key, _, grad in model.parameters()}
    model.forward(x)
    assert model.backward(upstream, input_grad=False) is None
    for key, _, grad in model.parameters():
        np.testing.assert_array_equal(grad, full[key])


def test_backward_stops_at_the_first_layer_that_trains():
    model = small_model()
    model.layers[0].trainable = False
    called = []
    model.layers[0].backward = lambda grad, **options: called.append("affine")
    model.forward(batch())
    model.backward(np.ones((4, 3), np.float32), input_grad=False)
    assert not called


@pytest.mark.parametrize("kernels", ["fast"], indirect=True)
def test_fused_steps_change_no_bits_and_know_what_they_train():
    def convolutional(fused):
        model = Sequential([Conv2D(16, 3, padding="same", activation="relu"), MaxPool2D(), Conv2D(16, 3), Affine(3)])
        model.build((8, 10, 3))
        assert len(model.steps) == 3
        if not fused:
            model.steps, _ = plan(model.layers, fuse=False)
        return model

    x = np.random.default_rng(0).normal(size=(3, 8, 10, 3)).astype(np.float32)
    upstream = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    results = []
    for fused in (True, False):
        model = convolutional(fused)
        arrays = [model.forward(x), model.backward(upstream), *(grad for _, _, grad in model.parameters())]
        results.append([array.tobytes() for array in arrays])
        model.forward(x)
        assert model.backward(upstream, input_grad=False) is None
        assert [grad.tobytes() for _, _, grad in model.parameters()] == results[-1][2:]
    assert results[0] == results[1]
    model = convolutional(True)
    model.layers[0].trainable = False
    model.forward(x)
    assert model.backward(upstream, input_grad=False) is None
    assert not model.layers[0].grads["kernel"].any() and model.layers[2].grads["kernel"].any()


def test_backward_before_forward_and_misfits_are_clear_errors():
    model = Sequential([Affine(2)])
    with pytest.raises(RuntimeError, match="before forward"):
        model.backward(np.ones((1, 2)))
    with pytest.raises(ValueError, match="must be built"):
        model.summary()
    model.build((3,))
    with pytest.raises(ValueError, match=r"'affine' \(layer 0 of the model\).*\(images, 3\).*\(1, 4\)"):
        model.forward(np.ones((1, 4)))
    with pytest.raises(ValueError, match="no layer 'conv' in model 'sequential'; it has affine"):
        model.get_layer("conv")


def test_first_nonfinite_names_layer_and_array():
    model = small_model()
    assert model.first_nonfinite(batch()) is None
    x = batch()
    x[0, 0, 0, 0] = np.nan
    assert model.first_nonfinite(x)[:2] == (-1, "input")
    model.get_layer("pair/affine").params["bias"][1] = np.inf
    assert model.first_nonfinite() == (2, "pair/affine", "bias")
    model = small_model()
    model.get_layer("affine").params["kernel"][...] = 3e38
    assert model.first_nonfinite(np.full((1, 2, 3, 1), 1e3, np.float32)) == (0, "affine", "output")


def test_whole_numbers_other_than_bytes_are_refused_by_forward_as_by_predict():
    model = Sequential([Affine(2)])
    model.build((3,))
    x = np.arange(6).reshape(2, 3)
    for call in (model.forward, model.predict):
        with pytest.raises(ValueError, match="int64"):
            call(x)


def test_a_layer_that_ran_in_another_model_is_noticed():
    shared = Affine(5)
    first, second = Sequential([shared, Bend(), Affine(3)]), Sequential([shared, Affine(2)])
    first.build((2, 3, 1))
    second.build((2, 3, 1))
    first.forward(batch())
    second.forward(batch() + 1)
    with pytest.raises(RuntimeError, match="ran alone or in another model"):
        first.backward(np.ones((4, 3), np.float32))
    second.backward(np.ones((4, 2), np.float32))


def test_every_layer_shows_what_it_last_saw_or_says_why_not(kernels):
    model = Sequential([Affine(5), Bend(), Pair(4), Affine(3, activation="softmax")])
    with pytest.raises(RuntimeError, match="Affine 'affine' .* has not run yet"):
        model.layers[0].last_input  # noqa: B018
    y = model.forward(batch())
    np.testing.assert_array_equal(model.layers[0].last_input, batch())
    np.testing.assert_array_equal(model.layers[-1].last_output, y)
    np.testing.assert_array_equal(model.layers[1].last_input, model.layers[0].last_output)
    np.testing.assert_array_equal(model.get_layer("pair/affine").last_input, np.tanh(model.layers[0].last_output))
    model.fit((batch(), np.arange(4) % 3), epochs=1, verbose=0)
    for layer in model.all_layers() if kernels.reuses_outputs else ():
        if layer.name != "affine_1/softmax":  # training leaves it out
            for ask in ("last_input", "last_output"):
                with pytest.raises(RuntimeError, match="overwritten|never"):
                    getattr(layer, ask)
    model.predict(batch())
    with pytest.raises(RuntimeError, match="overwritten"):
        model.layers[0].last_output  # noqa: B018


def test_predicting_in_one_thread_while_another_trains():
    model, data = small_model(), (batch(64), np.arange(64) % 3)
    model.build((2, 3, 1))
    alone = small_model()
    alone.fit(data, epochs=8, verbose=0)
    errors, ended = [], threading.Event()

    def predict():
        while not ended.is_set():
            try:
                assert np.allclose(model.predict(data[0]).sum(axis=1), 1, atol=1e-5)
            except BaseException as error:
                errors.append(error)
                return

    thread = threading.Thread(target=predict)
    thread.start()
    model.fit(data, epochs=8, verbose=0)
    ended.set()
    thread.join()
    assert not errors
    for key, array in alone.get_weights().items():
        np.testing.assert_array_equal(model.get_weights()[key], array)
