"""Same seed, same bytes: the number of threads changes nothing."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import tinycnn
from tinycnn.data.augment import Augment
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.reshape import Flatten
from tinycnn.layers.residual import Residual
from tinycnn.layers.upsample import UpSample2D
from tinycnn.model import Sequential
from tinycnn.models import report_cnn
from tinycnn.optimizers import SGD, Adam
from tinycnn.study.films.phantoms import chest_phantoms

SIZE = (40, 36)


@pytest.fixture(autouse=True)
def threads():
    before = tinycnn.get_num_threads()
    yield
    tinycnn.set_num_threads(before)


def mixture():
    """Every kind of layer: batch norm, strides, groups, residual branch, transposed convolution, upsampling."""
    return Sequential(
        [
            Conv2D(16, 5, strides=2, padding="same", use_bias=False),
            BatchNorm(),
            Residual([Conv2D(16, 3, padding="same", activation="relu"), BatchNorm()], activation="relu"),
            MaxPool2D(3, 2, "same"),
            Conv2D(32, 3, groups=2, padding="same", activation="leaky_relu"),
            AveragePool2D(2),
            UpSample2D(2),
            Conv2DTranspose(16, 3, strides=2, padding="same", activation="tanh"),
            Conv2D(32, 3, padding="same", activation="relu"),
            MaxPool2D(),
            GlobalAveragePool2D(keepdims=True),
            Flatten(),
            Dropout(0.4),
            Dense(3, activation="softmax"),
        ],
        seed=5,
    )


AUGMENT = dict(rotation=10, flip=0.5, zoom=0.1, shift=0.05, brightness=0.1, contrast=0.2, noise=0.02, equalize=0.3)
OPTIMIZERS = {"adam": lambda: Adam(global_clipnorm=1.0, weight_decay=0.01), "sgd": lambda: SGD(0.05, momentum=0.9)}


def train(make, path, optimizer="adam"):
    """Bytes of the weights after one epoch over 18 films (the last batch has two), augmented."""
    data = chest_phantoms(n_train=6, n_test=1, size=SIZE).train
    model = make()
    options = dict(epochs=1, batch_size=8, class_weight="balanced", augment=Augment(**AUGMENT), verbose=0)
    model.fit(data, optimizer=OPTIMIZERS[optimizer](), **options)
    model.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [report_cnn, mixture])
@pytest.mark.usefixtures("kernels")
def test_threads_change_no_bit_of_the_saved_weights(make, optimizer, tmp_path):
    saved = []
    for count in (1, 2, 3, 8):
        tinycnn.set_num_threads(count)
        saved.append(train(make, tmp_path / f"{len(saved)}.npz", optimizer))
    assert saved[0] == saved[1] == saved[2] == saved[3]
    untrained = make()
    untrained.build((*SIZE, 3))
    trained = Sequential.load(tmp_path / "0.npz").get_weights()
    assert all((trained[key] != value).any() for key, value in untrained.get_weights().items())


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_threads, tinycnn
assert tinycnn.get_num_threads() == int(sys.argv[3]), tinycnn.get_num_threads()
for make in (test_threads.report_cnn, test_threads.mixture):
    test_threads.train(make, Path(sys.argv[2]) / f"{make.__name__}.npz")
"""


@pytest.mark.long
def test_numba_num_threads_changes_no_bit_either(tmp_path):
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(os.path.dirname(tinycnn.__file__))
    saved = []
    for count in ("1", "2"):
        folder = tmp_path / count
        folder.mkdir()
        environment = {**os.environ, "NUMBA_NUM_THREADS": count, "PYTHONPATH": root}
        subprocess.run([sys.executable, "-c", PROGRAM, here, str(folder), count], env=environment, check=True)
        saved.append([(folder / f"{name}.npz").read_bytes() for name in ("report_cnn", "mixture")])
    assert saved[0] == saved[1]
    assert saved[0][0] == train(report_cnn, tmp_path / "here.npz")


def test_two_python_threads_do_not_disturb_each_other():
    """Kernels called from several threads wait for one another; scratch memory is shared."""
    x = np.random.default_rng(0).random((6, *SIZE, 3), np.float32)
    models = [report_cnn(seed=seed) for seed in range(3)]
    expected = [model.forward(x) for model in models]
    results = [[] for _ in models]

    def work(i):
        for _ in range(4):
            results[i].append(models[i].forward(x))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(models))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for want, got in zip(expected, results, strict=True):
        assert len(got) == 4 and all(np.array_equal(want, y) for y in got)
