"""A model's memory: nothing that will be read again is overwritten, and it is as small as it says."""

import weakref

import numpy as np
import pytest

from tinycnn.layers.activation import LeakyReLU, ReLU
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.reshape import Flatten
from tinycnn.layers.residual import Residual
from tinycnn.losses import CrossEntropy
from tinycnn.memory import Memory
from tinycnn.model import Sequential
from tinycnn.optimizers import Adam

pytestmark = pytest.mark.usefixtures("kernels")


def convolution(filters=16, activation=None):
    return Conv2D(filters, 3, padding="same", activation=activation)


NETWORKS = {
    "report": lambda: [
        convolution(16, "relu"),
        MaxPool2D(),
        convolution(16, "relu"),
        MaxPool2D(),
        Dropout(0.3),
        Flatten(),
        Dense(10, activation="relu"),
        Dropout(0.3),
        Dense(3, activation="softmax"),
    ],
    "normalised": lambda: [
        convolution(),
        BatchNorm(),
        ReLU(),
        MaxPool2D(),
        convolution(5, "tanh"),
        BatchNorm(),
        ReLU(),
        Dropout(0.5),
        GlobalAveragePool2D(),
        Dense(3, activation="softmax"),
    ],
    "residual": lambda: [
        convolution(8),
        Residual([convolution(8), ReLU(), convolution(8)], activation="relu"),
        Dropout(0.2),
        MaxPool2D(),
        Residual([convolution(8)]),
        Flatten(),
        Dense(3, activation="softmax"),
    ],
    "nothing to drop": lambda: [
        convolution(8, "relu"),
        Dropout(0),
        MaxPool2D(3),
        ReLU(),
        Flatten(),
        Dense(3, activation="softmax"),
    ],
}


def train(make, batches=(6, 4, 6)):
    """Weights and predictions after a few steps."""
    rng = np.random.default_rng(0)
    model, loss, optimizer = Sequential(make(), seed=1), CrossEntropy(), Adam(0.01)
    for n in batches:
        images = rng.normal(size=(n, 12, 16, 3)).astype(np.float32)
        loss.forward(model.run(images, training=True, logits=True), np.arange(n) % 3)
        model.backward(loss.backward(), input_grad=False)
        optimizer.step(model.parameters())
    predicted = model.predict(rng.normal(size=(7, 12, 16, 3)).astype(np.float32), 4)
    return [*model.get_weights().values(), predicted]


@pytest.mark.parametrize("name", NETWORKS)
def test_shared_memory_changes_no_bits(name, monkeypatch):
    shared = train(NETWORKS[name])
    monkeypatch.setattr(Memory, "output", lambda *_: None)
    monkeypatch.setattr(Memory, "gradient", lambda *_: None)
    for ours, theirs in zip(shared, train(NETWORKS[name]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_still_to_be_read_is_intact(seed):
    rng, memory = np.random.default_rng(seed), Memory()
    for _ in range(3):
        sizes = rng.integers(1, 400, rng.integers(1, 9))
        reads_output = rng.random(len(sizes)) < 0.5
        given = np.full(300, 255, np.uint8)
        outputs = [given]
        with memory.forward(sizes):
            for step, size in enumerate(sizes):
                memory.enter(step)
                outputs.append(memory.output(size))
                outputs[-1][:] = step
        gradient = np.full(sizes[-1], 200, np.uint8)
        with memory.backward(max(300, *sizes), overwrite=True):
            for step in range(len(sizes) - 1, -1, -1):
                memory.enter(step, reads_output[step])
                written = memory.gradient(outputs[step].size, gradient)
                written[:] = 100 + step
                assert (gradient == (200 if step == len(sizes) - 1 else 101 + step)).all()
                assert (outputs[step] == (step - 1) % 256).all()
                assert not reads_output[step] or (outputs[step + 1] == step).all()
                gradient = written
        assert memory.intact is None


@pytest.mark.parametrize("seed", range(20))
def test_a_prediction_keeps_the_last_output_alone(seed):
    rng, memory = np.random.default_rng(seed), Memory()
    sizes = rng.integers(1, 400, 8)
    with memory.forward(sizes, keep=False):
        last = np.zeros(1, np.uint8)
        for step, size in enumerate(sizes):
            memory.enter(step)
            output = memory.output(size)
            output[:] = step + 1
            assert (last == step).all()
            last = output
    assert memory._room.size <= 4 * 64 + sum(sorted(sizes)[-2:])


def test_gradients_of_a_shrinking_network_need_one_small_spare():
    # Outputs of 64, 32, 16 and 16 lines; of the gradients to them only that of 32 finds no dead outputs to lie on.
    sizes, memory = [64 * n for n in (63, 31, 15, 15)], Memory()
    with memory.forward(sizes):
        outputs = []
        for step, size in enumerate(sizes):
            memory.enter(step)
            outputs.append(memory.output(size))
    gradient, placed = np.empty(64, np.uint8), []
    with memory.backward(sizes[0], overwrite=True):
        for step in (3, 2, 1):
            memory.enter(step, reads_output=False)
            gradient = memory.gradient(sizes[step - 1], gradient)
            placed.append(np.may_share_memory(gradient, memory._room))
    assert placed == [True, False, True]
    assert np.may_share_memory(gradient, outputs[1]) and not np.may_share_memory(gradient, outputs[0])


def test_a_request_too_large_or_outside_a_pass_gets_nothing():
    memory = Memory()
    assert memory.output(1) is None
    with memory.forward([64]):
        memory.enter(0)
        assert memory.output(65) is None and memory.output(64).size == 64 and memory.output(1) is None
    assert memory.intact and memory.output(1) is None


def test_layers_run_one_by_one_have_gradients_of_their_own():
    model = Sequential([LeakyReLU(0.5), LeakyReLU(0.5), LeakyReLU(0.5)])
    model.forward(np.float32([[-8]]))
    third = model.layers[2].backward(np.float32([[1]]))
    second = model.layers[1].backward(third)
    first = model.layers[0].backward(second)
    assert [third.item(), second.item(), first.item()] == [0.5, 0.25, 0.125]


def test_memory_that_has_been_replaced_is_freed():
    model, rng = Sequential([Dense(8), ReLU(), Dense(8), ReLU(), Dense(3)]), np.random.default_rng(0)
    model.run(rng.normal(size=(2, 5)).astype(np.float32), training=True)
    model.backward(np.ones((2, 3), np.float32), input_grad=False)
    old = weakref.ref(model._memory._room)
    for _ in range(2):
        model.predict(rng.normal(size=(64, 5)).astype(np.float32), 64)
    assert old() is None


def test_a_gradient_that_nobody_asks_for_takes_no_room():
    model = Sequential([Conv2D(4, 3, strides=4), Conv2D(8, 3), ReLU()])
    x = np.ones((2, 64, 64, 3), np.float32)
    y = model.forward(x, training=True)
    model.backward(y, input_grad=False)
    assert max(spare.size for spare in model._memory._spares) < x.nbytes


def test_a_wrong_shape_is_told_before_memory_is_taken_for_it():
    model = Sequential([Conv2D(64, 3, padding="same")])
    model.build((4096, 4096, 3))
    for x in (np.broadcast_to(np.float32(1), (4096, 4096, 3)), np.float32(1)):
        with pytest.raises(ValueError, match="was built for inputs of shape"):
            model.forward(x)
    small = Sequential([Dense(3)])
    small.forward(np.ones((2, 4), np.float32))
    for _ in range(2):
        with pytest.raises(ValueError, match="does not fit the output"):
            small.backward(np.ones((2, 5), np.float32), input_grad=False)
    small.backward(np.ones((2, 3), np.float32))


def forward_that_fails(model, x):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(model.layers[0], "forward", lambda *_, **__: 1 / 0)
        model.forward(x)


def test_backward_without_what_it_needs_is_an_error():
    model = Sequential([Dense(3)])
    x, grad = np.ones((2, 4), np.float32), np.ones((2, 3), np.float32)
    model.build((4,))
    for spoil in (
        lambda: None,
        lambda: model.predict(x),
        lambda: model.layers[0].forward(x),
        lambda: model.first_nonfinite(x),
        lambda: model.evaluate((x, np.array([0, 1]))),
        lambda: model.forward(x) is None or model.backward(grad, input_grad=False),
        lambda: forward_that_fails(model, x),
    ):
        spoil()
        with pytest.raises(RuntimeError, match="backward was called before forward, or .* overwritten"):
            model.backward(grad)
        model.forward(x)
        np.testing.assert_array_equal(model.backward(grad), model.backward(grad))
