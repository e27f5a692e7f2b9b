"""Every number of a trace against NumPy and `tinycnn.reference`; the model as it was."""

import copy

import numpy as np
import pytest
from toys import small_model
from traced import batch, every_layer, expected, other_layers

import tinycnn
from tinycnn.inside.trace import trace
from tinycnn.kernels.sets import set_kernels
from tinycnn.layers.activation import ReLU, Softmax
from tinycnn.layers.augmentation import Augmentation
from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.parallel import Parallel
from tinycnn.layers.pool import MaxPool2D
from tinycnn.layers.rescaling import Rescaling
from tinycnn.layers.reshape import Flatten
from tinycnn.layers.residual import Residual
from tinycnn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from tinycnn.model import Sequential


def agree(ours, theirs, dtype, what):
    bound = 1e-10 if dtype == np.float64 else 1e-5
    assert ours.shape == theirs.shape and ours.dtype == dtype, what
    assert np.abs(ours - theirs).max() <= bound * max(1e-3, np.abs(theirs).max()), what


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("network", [every_layer, other_layers])
def test_every_number_of_every_layer(network, dtype, training):
    model, (images, labels) = network(dtype), batch(dtype)
    key = copy.deepcopy(model.rng).integers(0, 2**64, dtype=np.uint64)  # that dropout would draw next
    seen = trace(model, images, labels, training=training)
    assert list(seen) == [layer.name for layer in model.all_layers()]
    for path, layer in seen.layers.items():
        record = seen[path]
        if isinstance(layer, Softmax):  # by hand below
            continue
        z, y, grad, grad_x, grads = expected(seen, layer, key)
        for name, theirs in zip(
            ("pre_activation", "output", "grad_pre_activation", "grad_input"), (z, y, grad, grad_x), strict=True
        ):
            agree(getattr(record, name), theirs, dtype, f"{name} of {path}")
        assert record.grads.keys() == record.params.keys() == grads.keys() | layer.params.keys()
        for name, theirs in grads.items():
            agree(record.grads[name], theirs, dtype, f"grads[{name}] of {path}")
            np.testing.assert_array_equal(record.params[name], model.get_layer(path).params[name])


def test_each_layer_sees_what_the_one_before_gave_and_hands_its_gradient_back():
    model, (images, labels) = every_layer(), batch()
    seen = trace(model, images, labels)
    x = images
    for layer in model.layers:
        np.testing.assert_array_equal(seen[layer.name].input, x)
        x = seen[layer.name].output
    np.testing.assert_array_equal(seen.output, x)
    grad = None
    for layer in reversed(model.layers):
        assert (seen[layer.name].grad_output is None) == (grad is None)
        if grad is not None:
            np.testing.assert_array_equal(seen[layer.name].grad_output, grad)
        grad = seen[layer.name].grad_input
    branch = ["residual/conv2d", "residual/batch_normalization"]
    block = seen["residual"]
    np.testing.assert_array_equal(seen[branch[0]].input, block.input)
    np.testing.assert_array_equal(seen[branch[1]].input, seen[branch[0]].output)
    np.testing.assert_array_equal(seen[branch[1]].grad_output, block.grad_pre_activation)
    np.testing.assert_array_equal(seen[branch[0]].grad_output, seen[branch[1]].grad_input)
    np.testing.assert_array_equal(seen["residual/sigmoid"].input, block.pre_activation)
    np.testing.assert_array_equal(seen["residual/sigmoid"].grad_input, block.grad_pre_activation)
    np.testing.assert_array_equal(seen["residual_1/conv2d_1"].grad_output, seen["residual_1"].grad_output)


def test_the_gradient_starts_at_probability_minus_target():
    model, (images, labels) = every_layer(), batch()
    seen = trace(model, images, labels)
    logits, targets = seen["dense_1"].pre_activation, np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(seen["dense_1"].output, probabilities, atol=1e-14)
    np.testing.assert_allclose(seen["dense_1"].grad_pre_activation, (probabilities - targets) / 3, atol=1e-14)
    np.testing.assert_allclose(seen["dense_1/softmax"].grad_input, (probabilities - targets) / 3, atol=1e-14)
    assert seen["dense_1"].grad_output is seen["dense_1/softmax"].grad_output is None
    assert np.isclose(seen.loss, -np.log(probabilities[np.arange(3), labels]).mean())
    apart = Sequential([Dense(3), Softmax()])
    apart.build((4,))
    last = trace(apart, np.float32([[1, 2, 3, 4]]), [2])["softmax"]
    assert last.grad_output is None
    np.testing.assert_allclose(last.grad_input, last.output - [[0, 0, 1]], atol=1e-7)


def test_gradients_are_those_of_the_model_and_of_finite_differences():
    model, (images, labels) = every_layer(), batch()
    seen = trace(model, images, labels)
    loss = CrossEntropy()
    assert np.isclose(loss.forward(model.forward(images, logits=True), labels), seen.loss, atol=1e-14)
    np.testing.assert_allclose(model.backward(loss.backward()), seen["conv2d"].grad_input, atol=1e-14)
    for layer in model.all_layers():
        for key, grad in layer.grads.items():
            np.testing.assert_allclose(seen[layer.name].grads[key], grad, atol=1e-13)
    grad = seen["conv2d"].grad_input
    step, steepest = np.zeros_like(images), np.unravel_index(np.abs(grad).argmax(), grad.shape)
    step[steepest] = 1e-5
    up, down = (trace(model, images + s, labels).loss for s in (step, -step))
    assert np.isclose((up - down) / 2e-5, grad[steepest], rtol=1e-6)


def state_of(model):
    """Bytes of every array, and everything else by identity or value."""

    def frozen(value):
        if isinstance(value, np.ndarray):
            return id(value), value.tobytes()
        if isinstance(value, np.random.Generator):
            return id(value), repr(value.bit_generator.state)
        if isinstance(value, dict):
            return {key: frozen(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [frozen(item) for item in value]
        return id(value) if isinstance(value, Layer) else repr(value)

    layers = [{key: frozen(value) for key, value in vars(layer).items()} for layer in model.all_layers()]
    return layers, {key: frozen(value) for key, value in vars(model).items() if key not in ("_memory", "steps", "head")}


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_it_was(training):
    model, (images, labels) = every_layer(np.float32), batch(np.float32)
    loss = CrossEntropy()
    loss.forward(model.forward(images, training=True, logits=True), labels)
    model.backward(loss.backward())
    model.forward(images[:2], training=True)
    before, memory, steps = state_of(model), copy.deepcopy(vars(model._memory)["intact"]), list(model.steps)
    started = loss.backward()
    trace(model, images, labels, loss, training=training)
    assert state_of(model) == before
    assert model._memory.intact == memory and model.steps == steps
    np.testing.assert_array_equal(loss.backward(), started)
    model.backward(np.ones((2, 3), np.float32))  # of the forward pass that came before the trace


def test_the_trace_is_the_readers_own():
    model, (images, labels) = every_layer(), batch()
    seen = trace(model, images, labels)
    weights, first = model.get_weights(), seen["conv2d"].output.copy()
    for record in seen.records.values():
        for array in [*record.params.values(), *record.grads.values()]:
            array[...] = 7
    trace(model, images * 2, labels)
    np.testing.assert_array_equal(seen["conv2d"].output, first)
    for key, array in model.get_weights().items():
        np.testing.assert_array_equal(array, weights[key])
    arrays = [seen[path].output for path in seen] + [seen[path].grad_input for path in seen]
    kept = [array for array in arrays if array is not None]
    assert not any(np.may_share_memory(a, b) for i, a in enumerate(kept) for b in kept[:i] if a is not b)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fused_or_not_the_trace_is_the_same(dtype):
    together = Sequential([Conv2D(32, 3, padding="same", activation="relu"), MaxPool2D(2), Flatten(), Dense(3)])
    apart = Sequential([Conv2D(32, 3, padding="same"), ReLU(), MaxPool2D(2), Flatten(), Dense(3)])
    for model in (together, apart):
        model.build((8, 10, 2), dtype)
    apart.set_weights(together.get_weights())
    assert len(together.steps) == 3 and len(apart.steps) == 5  # else this test compares nothing
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(4, 8, 10, 2)).astype(dtype), [0, 1, 2, 0]
    one, other = trace(together, images, labels), trace(apart, images, labels)
    np.testing.assert_array_equal(one.output, together.forward(images))
    np.testing.assert_array_equal(one["conv2d"].pre_activation, other["conv2d"].output)
    np.testing.assert_array_equal(one["conv2d"].output, other["re_lu"].output)
    np.testing.assert_array_equal(one["conv2d/re_lu"].grad_input, other["re_lu"].grad_input)
    np.testing.assert_array_equal(one["max_pooling2d"].output, other["max_pooling2d"].output)
    np.testing.assert_array_equal(one["conv2d"].grads["kernel"], other["conv2d"].grads["kernel"])
    np.testing.assert_array_equal(one["conv2d"].grad_input, other["conv2d"].grad_input)


def test_bytes_are_scaled_as_the_model_does():
    model = Sequential([Flatten(), Dense(2)])
    model.build((1, 2, 1))
    images = np.array([[[[51], [255]]]], np.uint8)
    seen = trace(model, images)
    np.testing.assert_allclose(seen["flatten"].input, [[[[0.2], [1]]]], rtol=1e-7)
    np.testing.assert_array_equal(seen.output, model.forward(images))
    with pytest.raises(ValueError, match="takes uint8, which it scales"):
        trace(model, images.astype(np.int64))


def test_dropout_drops_what_the_next_training_step_would():
    model = Sequential([Dropout(0.5), Dense(2)])
    model.build((50,))
    x = np.ones((2, 50), np.float32)
    traced = trace(model, x, training=True)["dropout"].output
    model.forward(x, training=True)
    np.testing.assert_array_equal(model.layers[0].last_output, traced)


@pytest.mark.parametrize("block", [Parallel, Residual])
def test_augmentation_inside_a_branch_trains_as_it_does_in_the_model(block):
    path = lambda: [Augmentation(flip=1.0), Conv2D(2, 3, padding="same")]  # noqa: E731
    first = Parallel([path(), [Conv2D(2, 1)]]) if block is Parallel else Residual(path(), activation="relu")
    model = Sequential([Rescaling(2.0), first, Flatten(), Dense(2)], seed=1)
    model.build((4, 4, 2))
    images, labels = np.random.default_rng(0).random((3, 4, 4, 2), np.float32), [0, 1, 0]
    seen = trace(model, images, labels, training=True)
    assert seen[first.name].grad_output.any() and seen[first.name].grad_input is None
    with pytest.raises(ValueError, match="none passes through augmentation"):
        seen.back(first.name, (0, 0, 0, 0))
    model.fit((images, labels), epochs=1, batch_size=3, shuffle=False, verbose=0)
    kernel = f"{first.name}/conv2d"
    np.testing.assert_array_equal(seen[kernel].grads["kernel"], model.get_layer(kernel).grads["kernel"])


def test_a_frozen_normalisation_uses_its_moving_statistics():
    model = Sequential([BatchNorm()])
    model.build((3,))
    model.layers[0].trainable = False
    x = np.float32([[5, 6, 7], [8, 9, 10]])
    np.testing.assert_allclose(trace(model, x, training=True).output, x / np.sqrt(1.001), rtol=1e-6)


def test_another_loss_runs_back_through_the_softmax():
    model = Sequential([Dense(3, activation="softmax")])
    model.build((2,), np.float64)
    x, targets = np.array([[1.0, -2.0]]), np.array([[0.0, 1.0, 0.0]])
    seen = trace(model, x, targets, MeanSquaredError())
    y = seen.output
    grad = 2 * (y - targets) / 3
    np.testing.assert_allclose(seen["dense"].grad_output, grad)
    np.testing.assert_allclose(seen["dense"].grad_pre_activation, y * (grad - (grad * y).sum()))
    weighted = trace(model, x, [1], CrossEntropy(class_weight=[1, 5, 1]))
    np.testing.assert_allclose(weighted["dense"].grad_pre_activation, 5 * (y - targets))
    yes_no = Sequential([Dense(1)])
    yes_no.build((2,))
    assert trace(yes_no, x.astype(np.float32), [1], BinaryCrossEntropy()).loss > 0


def test_layers_inside_any_layer_are_recorded():
    model = small_model()  # of layers that only the tests know, one with two inside
    images = np.random.default_rng(0).normal(size=(2, 2, 3, 1)).astype(np.float32)
    seen = trace(model, images, [0, 1])
    np.testing.assert_array_equal(seen["pair/affine"].input, seen["pair"].input)
    np.testing.assert_array_equal(seen["pair/bend"].output, seen["pair"].output)
    assert seen["pair/affine"].grads["kernel"].any()
    with pytest.raises(ValueError, match="known for Augmentation, AveragePool2D, .* only"):
        seen.terms("affine", (0, 0))


def test_without_labels_there_are_no_gradients():
    seen = trace(every_layer(), batch()[0])
    assert seen.loss is None and seen["conv2d"].grads == {} and seen["conv2d"].grad_input is None
    with pytest.raises(ValueError, match=r"no labels.*trace\(model, images, labels\)"):
        seen.back("conv2d", (0, 0, 0, 0))


def test_errors_say_what_to_do():
    model, (images, labels) = every_layer(), batch()
    seen = trace(model, images, labels)
    with pytest.raises(
        ValueError, match="no layer 'conv2d_9' was traced; there are conv2d, conv2d/re_lu, max_pooling2d"
    ):
        seen["conv2d_9"]
    for index in [(0, 0, 0), (3, 0, 0, 0), (0, 0, 0, -1), (0, 0, 0.5, 0), 4, (0, 0, True, 0)]:
        with pytest.raises(ValueError, match=r"does not fit the output of 'conv2d', which has shape \(3, 13, 8, 16\)"):
            seen.terms("conv2d", index)
    with pytest.raises(ValueError, match=r"does not fit the input of 'conv2d', which has shape \(3, 13, 8, 3\)"):
        seen.back("conv2d", (0, 0, 0, 3))
    with pytest.raises(ValueError, match="the loss takes softmax and logarithm together"):
        seen.back("dense_1/softmax", (0, 0))
    with pytest.raises(ValueError, match=r"must be built .* build\(\(4,\)\)"):
        trace(Sequential([Dense(2)]), np.ones((1, 4)))
    with pytest.raises(ValueError, match="labels"):
        trace(model, images, [0, 1, 7])
    with pytest.raises(ValueError, match="was built for inputs of shape"):
        trace(model, images[:, 1:])
    with pytest.raises(ValueError, match="loss must be an object"):
        trace(model, images, labels, loss=CrossEntropy)


def test_it_prints_as_a_table():
    seen = trace(every_layer(), *batch())
    lines = repr(seen).splitlines()
    assert lines[0] == f"3 images, loss {seen.loss:.4f}"
    assert lines[1].split() == ["layer", "input", "output", "mean", "min", "max", "zeros", "gradient"]
    first, record = lines[2].split(), seen["conv2d"]
    assert first[:7] == ["conv2d", "13", "x", "8", "x", "3", "13"]
    assert first[-4:] == [
        f"{record.output.max():.4g}",
        f"{100 * (record.output == 0).mean():.0f}",
        "%",
        f"{np.linalg.norm(record.grad_output):.3g}",
    ]
    assert len(lines) == 2 + len(seen) and max(map(len, lines)) < 120
    assert repr(record).startswith("Record(input (3, 13, 8, 3), pre_activation (3, 13, 8, 16), ")
    assert "grads['kernel'] (3, 3, 3, 16)" in repr(record)
    assert tinycnn.trace is trace


def test_every_set_of_kernels_gives_the_same_trace():
    model = Sequential(
        [
            Conv2D(16, 3, padding="same", activation="relu"),
            MaxPool2D(),
            Conv2D(4, 3, strides=2, activation="tanh"),
            BatchNorm(),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )
    model.build((9, 8, 2), dtype=np.float64)
    images = np.random.default_rng(0).normal(size=(3, 9, 8, 2))
    traces = {}
    for name in ("fast", "im2col", "reference"):
        with set_kernels(name):
            traces[name] = trace(model, images, [0, 2, 1])
    for name in ("im2col", "reference"):
        for layer in model.all_layers():
            ours, theirs = traces["fast"][layer.name], traces[name][layer.name]
            for what in ("input", "pre_activation", "output", "grad_pre_activation", "grad_input"):
                one, other = getattr(ours, what), getattr(theirs, what)
                assert (one is None) == (other is None)
                if one is not None:
                    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
            for key, grad in ours.grads.items():
                np.testing.assert_allclose(grad, theirs.grads[key], rtol=1e-10, atol=1e-12)
