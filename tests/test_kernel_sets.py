"""Whole networks by every set of kernels: one result, the same bytes after a stop, and what "reference" promises."""

import bdb
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toys_training import Stop, bits

import tinycnn
from tinycnn.kernels import numpy_set
from tinycnn.kernels.sets import SETS, set_kernels
from tinycnn.layers import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Dropout,
    Flatten,
    MaxPool2D,
    Residual,
)
from tinycnn.losses import CrossEntropy
from tinycnn.model import Sequential
from tinycnn.optimizers import SGD, Adam
from tinycnn.training import Callback, Checkpoint

ROOT = Path(__file__).parents[1]
X = np.random.default_rng(0).normal(size=(6, 12, 10, 2))
LABELS = np.arange(6) % 3


def network(seed=1):
    """Every layer that computes by kernels."""
    layers = [
        Conv2D(8, 3, padding="same", use_bias=False),
        BatchNorm(),
        Residual([Conv2D(8, 3, padding="same", activation="relu"), BatchNorm()], activation="relu"),
        MaxPool2D(),
        Conv2D(6, 3, strides=2, padding="same", groups=2, activation="tanh"),
        Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu"),
        AveragePool2D(3, 2, "same"),
        Dropout(0.3),
        Flatten(),
        Dense(9, activation="relu"),
        Dense(3, activation="softmax"),
    ]
    return Sequential(layers, seed=seed)


def step(dtype, optimizer):
    """Logits, every gradient, and every parameter and running moment after a step."""
    model, loss = network(), CrossEntropy()
    logits = model.forward(X.astype(dtype), training=True, logits=True)
    loss.forward(logits, LABELS)
    results = {"logits": logits, "input": model.backward(loss.backward())}
    results |= {f"gradient of {key}": grad.copy() for key, _, grad in model.parameters()}
    optimizer.step(model.parameters())
    return results | model.get_weights()


@pytest.mark.parametrize("make", [lambda: Adam(1e-2, weight_decay=0.1), lambda: SGD(0.1, 0.9, global_clipnorm=0.5)])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_a_step_has_one_result(dtype, tolerance, make):
    results = {}
    for name in SETS:
        with set_kernels(name):
            results[name] = step(dtype, make())
    for name in ("im2col", "reference"):
        for key, expected in results["fast"].items():
            found = results[name][key]
            assert found.dtype == expected.dtype == dtype
            # Adam divides by the size of a gradient: where that is rounding alone, so is the step.
            # A convolution's gradient through the batch norm after it is such a difference of large numbers.
            scale = max(np.abs(expected).max(), 1e-2)
            assert np.abs(found - expected).max() <= tolerance * scale, (name, key)


def run(path, seed=1, **options):
    model, optimizer = network(seed), Adam(1e-2)
    options = {"epochs": 2, "batch_size": 4, "verbose": 0, "optimizer": optimizer} | options
    options["callbacks"] = [Checkpoint(path), *options.get("callbacks", ())]
    history = model.fit((X.astype(np.float32), LABELS), **options)
    return model, bits(model, optimizer, history)


def test_a_stopped_run_goes_on_to_the_same_bytes(kernels, tmp_path):
    _, whole = run(tmp_path / "whole.npz")
    run(tmp_path / "run.npz", callbacks=[Stop(1, 0)])
    model, resumed = run(tmp_path / "run.npz", seed=9, resume=tmp_path / "run.npz")
    assert resumed == whole
    model.save(tmp_path / "model.npz")
    predictions = model.predict(X.astype(np.float32))
    for name in SETS:
        with set_kernels(name):
            other = Sequential.load(tmp_path / "model.npz").predict(X.astype(np.float32))
        assert np.allclose(other, predictions, atol=1e-5)


class Stops(bdb.Bdb):
    """A debugger that notes the variables at its breakpoints and goes on."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def user_line(self, frame):
        if self.break_here(frame):
            self.seen.append((frame.f_code.co_name, dict(frame.f_locals)))
        self.set_continue()


def test_a_breakpoint_inside_a_reference_convolution_is_hit_during_fit():
    debugger = Stops()
    places = {}
    for function in (numpy_set.conv_forward, numpy_set.conv_kernel_gradient, numpy_set.maxpool_backward):
        code = function.__code__
        places[code.co_name] = min(line for *_, line in code.co_lines() if line and line > code.co_firstlineno)
        assert debugger.set_break(code.co_filename, places[code.co_name]) is None
    trace = sys.gettrace()
    try:
        with set_kernels("reference"):
            debugger.runcall(
                network().fit, (X.astype(np.float32), LABELS), epochs=1, batch_size=6, optimizer=SGD(), verbose=0
            )
    finally:
        debugger.clear_all_breaks()
        sys.settrace(trace)
    assert {name for name, _ in debugger.seen} == set(places)
    _, variables = debugger.seen[0]
    assert variables["x"].shape == X.shape and variables["kernel"].shape == (3, 3, 2, 8)


def test_every_array_of_a_reference_step_is_alive_after_it():
    class Look(Callback):
        def on_batch_end(self, batch, logs):
            for layer in self.model.layers[:-1]:  # a softmax is left out
                seen[layer.name] = layer.last_output.copy()

    seen, model, x = {}, network(), X.astype(np.float32)
    with set_kernels("reference"):
        model.fit(
            (x, LABELS), epochs=1, batch_size=6, shuffle=False, optimizer=SGD(1e-30), callbacks=[Look()], verbose=0
        )
        again = network()
        again.forward(x, training=True)
    assert len(seen) == 10
    for layer in again.layers[:7]:  # then comes dropout, with another mask
        np.testing.assert_array_equal(seen[layer.name], layer.last_output)
    assert (seen["flatten"] == seen["dropout"].reshape(6, -1)).all()


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
import numpy as np
from test_kernel_sets import LABELS, X, Adam, Sequential, network
model = network()
model.fit((X.astype(np.float32), LABELS), epochs=1, optimizer=Adam(1e-2), verbose=0)
model.save(sys.argv[1])
np.save(sys.argv[2], Sequential.load(sys.argv[1]).predict(X))
"""


def test_the_reference_needs_no_numba(tmp_path):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "TINYCNN_KERNELS": "reference"}
    command = [sys.executable, "-c", WITHOUT_NUMBA, str(tmp_path / "model.npz"), str(tmp_path / "predictions.npy")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with set_kernels("reference"):
        here = tinycnn.Sequential.load(tmp_path / "model.npz").predict(X)
    np.testing.assert_array_equal(np.load(tmp_path / "predictions.npy"), here)
