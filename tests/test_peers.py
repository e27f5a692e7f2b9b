"""The report's network with the same weights and the same batch in tinycnn, PyTorch and Keras: the same numbers.

Dropout is off (each library draws its own masks).

A pooling window whose two largest values agree to rounding may pick another winner in each library.  In float64 that
does not happen at these sizes.  In float32 it happens to about one window in a million, and as a random network's
gradients cancel over the image, one such window moves the first layers' gradient by 1e-3: PyTorch and Keras differ by
that from each other and from float64.  With a first dense kernel of positive numbers gradients add up instead, and
what is left is rounding; its elements still differ from place to place, so gradients in the wrong place would show.
"""

import numpy as np
import pytest

from tinycnn.kernels.conv import set_winograd
from tinycnn.layers.dropout import Dropout
from tinycnn.losses import CrossEntropy
from tinycnn.models import report_cnn
from tinycnn.optimizers import Adam

WEIGHTS = [0.7537, 1.1952, 1.1952]
KEYS = [
    f"{layer}/{key}"
    for layer in ("conv2d", "conv2d_1", "conv2d_2", "dense", "dense_1", "dense_2")
    for key in ("kernel", "bias")
]


def relative(ours, theirs):
    """Norm of the difference relative to the norm."""
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


def network(size, dtype):
    """The report's network with dropout off and biases that are not all zero."""
    model = report_cnn(seed=1)
    model.build((size, size, 3), dtype=dtype)
    rng = np.random.default_rng(2)
    for layer in model.all_layers():
        if isinstance(layer, Dropout):
            layer.rate = 0.0
        if "bias" in layer.params:
            layer.params["bias"][...] = rng.normal(size=layer.params["bias"].shape) / 20
    if dtype == np.float32:
        kernel = model.get_layer("dense").params["kernel"]
        np.abs(kernel, out=kernel)
    return model


def films(images, size, dtype, seed=0):
    """Smooth random images in 0..1, as X-rays are, with labels of all three classes."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((images, 9, 9, 3))
    at = np.linspace(0, 8, size)
    x = np.empty((images, size, size, 3))
    for n, c in np.ndindex(images, 3):
        rows = np.stack([np.interp(at, range(9), column) for column in coarse[n, :, :, c].T], axis=1)
        x[n, :, :, c] = np.stack([np.interp(at, range(9), row) for row in rows])
    x = 0.8 * x + 0.2 * rng.random(x.shape)
    return x.astype(dtype), np.arange(images) % 3


def ours(model, x, labels, class_weight):
    """Logits, loss and gradients by tinycnn."""
    loss = CrossEntropy(class_weight)
    logits = model.forward(x, training=True, logits=True)
    value = loss.forward(logits, labels)
    model.backward(loss.backward(), input_grad=False)
    return logits, value, {key: grad.copy() for key, _, grad in model.parameters()}


def by_torch(model, x, labels, class_weight):
    """The same by PyTorch, whose tensors are NCHW and whose weighted mean divides by the weights' sum."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    tensors = {}
    for key, a in model.get_weights().items():
        a = a.transpose(3, 2, 0, 1) if a.ndim == 4 else a.T
        tensors[key] = torch.tensor(a.copy(), requires_grad=True)
    h = torch.tensor(x.transpose(0, 3, 1, 2).copy())
    for layer in ("conv2d", "conv2d_1", "conv2d_2"):
        h = functional.conv2d(h, tensors[f"{layer}/kernel"], tensors[f"{layer}/bias"], padding="same")
        h = functional.max_pool2d(torch.relu(h), 2)
    h = h.permute(0, 2, 3, 1).flatten(1)
    for layer in ("dense", "dense_1"):
        h = torch.relu(functional.linear(h, tensors[f"{layer}/kernel"], tensors[f"{layer}/bias"]))
    logits = functional.linear(h, tensors["dense_2/kernel"], tensors["dense_2/bias"])
    weight = None if class_weight is None else torch.tensor(class_weight, dtype=logits.dtype)
    each = functional.cross_entropy(logits, torch.tensor(labels), weight=weight, reduction="none")
    loss = each.mean()
    loss.backward()
    grads = {}
    for key, tensor in tensors.items():
        a = tensor.grad.numpy()
        grads[key] = a.transpose(2, 3, 1, 0) if a.ndim == 4 else a.T
    return logits.detach().numpy(), loss.item(), grads


def keras_network(model, dtype):
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    kl, name = keras.layers, np.dtype(dtype).name
    layers = [keras.Input(model.input_shape, dtype=name)]
    for filters in (32, 64, 128):
        layers += [kl.Conv2D(filters, 3, padding="same", activation="relu", dtype=name), kl.MaxPooling2D(dtype=name)]
    layers += [kl.Flatten(dtype=name), *(kl.Dense(128, activation="relu", dtype=name) for _ in range(2))]
    theirs = keras.Sequential([*layers, kl.Dense(3, dtype=name)])
    theirs.set_weights([model.get_weights()[key] for key in KEYS])
    return theirs


def by_keras(model, x, labels, class_weight):
    """The same by Keras: a sample's weight is its class's, and the mean is over the batch."""
    theirs = keras_network(model, x.dtype)
    import keras
    import tensorflow

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype=x.dtype.name)
    sample_weight = None if class_weight is None else np.take(class_weight, labels).astype(x.dtype)
    with tensorflow.GradientTape() as tape:
        logits = theirs(x, training=True)
        value = loss(labels, logits, sample_weight=sample_weight)
    grads = tape.gradient(value, theirs.trainable_variables)
    return logits.numpy(), float(value), dict(zip(KEYS, (grad.numpy() for grad in grads), strict=True))


CASES = [
    (64, 4, np.float64, 1e-11),
    (64, 4, np.float32, 1e-4),
    (72, 3, np.float32, 1e-4),
    (256, 2, np.float32, 1e-4),
]


@pytest.mark.parametrize("peer", [by_torch, by_keras])
@pytest.mark.parametrize("class_weight", [None, WEIGHTS])
@pytest.mark.parametrize("size, images, dtype, tolerance", CASES)
def test_logits_loss_and_every_gradient(peer, class_weight, size, images, dtype, tolerance):
    model = network(size, dtype)
    x, labels = films(images, size, dtype)
    logits, loss, grads = ours(model, x, labels, class_weight)
    their_logits, their_loss, their_grads = peer(model, x, labels, class_weight)
    assert relative(logits, their_logits) < tolerance
    assert abs(loss - their_loss) < tolerance * abs(their_loss)
    assert sorted(grads) == sorted(their_grads) == sorted(KEYS)
    errors = {key: relative(grads[key], their_grads[key]) for key in KEYS}
    assert max(errors.values()) < tolerance, errors


@pytest.mark.parametrize("tile", [4, 2, 0])
@pytest.mark.parametrize("peer", [by_torch, by_keras])
def test_with_every_tile_of_winograd_and_without(peer, tile):
    set_winograd(tile)
    try:
        test_logits_loss_and_every_gradient(peer, WEIGHTS, *CASES[1])
    finally:
        set_winograd("auto")


@pytest.mark.parametrize(
    "dtype, loss_tolerance, tolerance",
    [
        # Keras reports losses and keeps its betas in float32, in which 1 - 0.999 is off by 1.3e-5.
        (np.float64, 1e-6, 2e-5),
        # Adam divides by the gradient's own size, so where a gradient is mere rounding, the whole step is: a share
        # of the way that the weights went, not of their size.
        (np.float32, 1e-4, 2e-2),
    ],
)
def test_three_steps_of_adam_are_those_of_keras(dtype, loss_tolerance, tolerance):
    """Through `train_on_batch`, with class weights; the bound is relative to the way each weight tensor went."""
    model = network(64, dtype)
    start = model.get_weights()
    theirs = keras_network(model, dtype)
    import keras

    name = np.dtype(dtype).name
    theirs.compile(keras.optimizers.Adam(), keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype=name))
    optimizer, loss = Adam(), CrossEntropy(WEIGHTS)
    for step in range(3):
        x, labels = films(4, 64, dtype, seed=step)
        logits = model.forward(x, training=True, logits=True)
        value = loss.forward(logits, labels)
        model.backward(loss.backward(), input_grad=False)
        optimizer.step(model.parameters())
        sample_weight = np.take(WEIGHTS, labels).astype(dtype)
        their_value = theirs.train_on_batch(x, labels, sample_weight=sample_weight)
        theirs.reset_metrics()
        assert abs(value - float(their_value)) < loss_tolerance * value
    weights = model.get_weights()
    for key, other in zip(KEYS, theirs.get_weights(), strict=True):
        assert relative(weights[key] - start[key], other - start[key]) < tolerance, key


def test_class_weight_of_fit_is_that_of_keras():
    """`fit(class_weight=...)` in both: one epoch in one order, plain SGD, equal weights at the end."""
    model = network(32, np.float64)
    theirs = keras_network(model, np.float64)
    import keras

    from tinycnn.optimizers import SGD

    x, labels = films(9, 32, np.float64)
    theirs.compile(
        keras.optimizers.SGD(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
    )
    class_weight = dict(enumerate(WEIGHTS))
    history = theirs.fit(x, labels, batch_size=4, epochs=1, shuffle=False, class_weight=class_weight, verbose=0)
    own = model.fit(
        (x, labels), batch_size=4, epochs=1, shuffle=False, class_weight=class_weight, optimizer=SGD(0.05), verbose=0
    )
    assert np.isclose(own["loss"][0], history.history["loss"][0], rtol=1e-6)
    for key, other in zip(KEYS, theirs.get_weights(), strict=True):
        assert relative(model.get_weights()[key], other) < 1e-7, key
