"""Random architectures, bitwise: a model, which fuses steps and shares memory, against its layers called one by one."""

import numpy as np

from tinycnn import layers
from tinycnn.kernels.sets import SETS, set_kernels
from tinycnn.model import Sequential

COUNT = 500
TYPES = ["float64", "float32"]


def prepare(folder):
    """Nothing: the networks start from their seeds."""


def attack(_, rng):
    name, dtype = str(rng.choice(list(SETS))), str(rng.choice(TYPES))
    seed, shape = int(rng.integers(2**31)), (*rng.integers(6, 15, 2).tolist(), int(rng.choice([1, 3, 8, 16])))
    x = rng.normal(size=(int(rng.integers(1, 4)), *shape)).astype(dtype)
    with set_kernels(name):
        model, plain = built(seed, shape, dtype), built(seed, shape, dtype)
        grad = rng.normal(size=(len(x), *model.output_shape)).astype(dtype)
        for training in (False, True, True):
            y, z = model.run(x, training), x
            for layer in plain.layers:
                z = layer.forward(z, training)
            same(y, z, dtype, f"{name}: output of {model.layers}")
        grad_z = grad
        for layer in reversed(plain.layers):
            grad_z = layer.backward(grad_z)
        same(model.backward(grad), grad_z, dtype, f"{name}: gradient to the input of {model.layers}")
        for (key, value, found), (_, other, expected) in zip(model.parameters(), plain.parameters(), strict=True):
            assert value.tobytes() == other.tobytes(), f"{key} was changed without a step"
            same(found, expected, dtype, f"{name}: gradient of {key} in {model.layers}")


def same(found, expected, dtype, what):
    assert found.shape == expected.shape and found.dtype == dtype, what
    if found.tobytes() != expected.tobytes():
        raise AssertionError(f"{what} is off by {np.abs(found - expected).max():.1e}")


def built(seed, shape, dtype):
    """A network of four to eight layers."""
    rng = np.random.default_rng(seed)
    parts, at = [], shape
    for _ in range(rng.integers(2, 7)):
        part = MAKERS[rng.integers(len(MAKERS))](rng, at)
        try:
            at = tuple(part.output_shape_of(at))
        except ValueError:  # the image has become too small for it
            continue
        parts.append(part)
    head = [layers.Flatten(), layers.Dense(3, [None, "relu", "softmax"][rng.integers(3)])]
    model = Sequential([*parts, *head], seed=seed)
    model.build(shape, dtype)
    return model


def conv(rng, shape):
    options = {"strides": int(rng.choice([1, 1, 2])), "padding": str(rng.choice(["same", "valid"]))}
    options |= {"activation": [None, "relu", "relu", "tanh"][rng.integers(4)], "use_bias": bool(rng.integers(2))}
    return layers.Conv2D(int(rng.choice([1, 3, 8, 16, 32])), int(rng.integers(1, 4)), **options)


def residual(rng, shape):
    branch = [layers.Conv2D(shape[2], 3, padding="same", activation="relu"), layers.BatchNorm()]
    return layers.Residual(branch, activation=[None, "relu"][rng.integers(2)])


MAKERS = [conv, conv, conv, residual, lambda rng, shape: layers.MaxPool2D(2), lambda rng, shape: layers.MaxPool2D(3, 2)]
MAKERS += [lambda rng, shape: layers.AveragePool2D(2), lambda rng, shape: layers.BatchNorm()]
MAKERS += [lambda rng, shape: layers.ReLU(), lambda rng, shape: layers.UpSample2D(2)]
MAKERS += [lambda rng, shape: layers.Conv2DTranspose(int(rng.choice([3, 16])), 3, 2, "same", activation="relu")]
