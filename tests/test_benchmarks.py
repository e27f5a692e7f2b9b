"""The networks of the benchmarks: every library computes the same numbers."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import architectures  # noqa: E402

from tinycnn.kernels.conv import set_winograd  # noqa: E402

pytestmark = pytest.mark.long

TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def direct_sums_in_training(request):
    """Winograd's rounding, ten times that of direct sums, tips a ReLU that is nearly 0, and with it whole gradients."""
    training = request.node.callspec.params.get("task") == "train"
    set_winograd("off" if training else "auto")
    yield
    set_winograd("auto")


def small(name):
    """Network `name` with two small images and no dropout, of which each library has its own masks.

    Of a residual block with stride the sides are odd: with even ones, a 3x3 kernel and the 1x1 of its shortcut look at
    different pixels in Keras and at the same in PyTorch.
    """
    network = architectures.NETWORKS[name]
    side, _, channels = network["shape"]
    layers = [layer for layer in network["layers"] if layer[0] != "dropout"]
    side = min(side, 96) + any(layer[0] == "residual" for layer in layers)
    return network | {"shape": (side, side, channels), "batch": 2, "layers": layers}


def ours(network, task):
    """tinycnn's worker, with biases and statistics that are not all zero."""
    from peer_tinycnn import Worker

    worker = Worker({})
    worker.setup(network, task, None)
    rng = np.random.default_rng(1)
    for layer in worker.model.all_layers():
        for key, array in (layer.params | layer.state).items():
            if key != "kernel":
                array += rng.uniform(0, 0.2, array.shape).astype(np.float32)
    return worker


def weighted(model):
    return [layer for layer in model.all_layers() if layer.params]


def give_keras(model, theirs):
    leaves = [layer for layer in theirs.layers if layer.weights]
    leaves.sort(key=lambda layer: int(layer.name.rsplit("_", 1)[1]))
    for layer, other in zip(weighted(model), leaves, strict=True):
        arrays = [*layer.params.values(), *layer.state.values()]
        if "Depthwise" in type(other).__name__:
            arrays[0] = arrays[0].transpose(0, 1, 3, 2)
        other.set_weights(arrays)


def give_torch(model, theirs, turned):
    """NCHW weights; `turned` by 180 degrees, as in `test_pytorch`."""
    import torch

    flattened = next((layer.input_shape for layer in model.layers if type(layer).__name__ == "Flatten"), None)
    leaves = [module for module in theirs.modules() if list(module.parameters(recurse=False))]
    for layer, other in zip(weighted(model), leaves, strict=True):
        arrays = layer.params | layer.state
        kernel = arrays.get("kernel")
        if kernel is not None and kernel.ndim == 4:
            arrays["kernel"] = (kernel[::-1, ::-1] if turned else kernel).transpose(3, 2, 0, 1)
        elif kernel is not None:
            if flattened:
                kernel = kernel.reshape(*flattened, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
            arrays["kernel"], flattened = kernel.T, None
        names = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
        names |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
        for key, array in arrays.items():
            with torch.no_grad():
                getattr(other, names.get(key, key)).copy_(torch.from_numpy(array.copy()))


def check(worker, other, task, turned=False):
    """Outputs; or the loss, and after a step of Adam, which needs every gradient, the loss again.

    Adam divides by the gradient's own size, so where a gradient is mere rounding the libraries' steps differ.
    """
    for tolerance in (TOLERANCE, 10 * TOLERANCE)[: 1 + (task == "train")]:
        expected, found = np.array(getattr(worker, task)()), np.asarray(getattr(other, task)())
        found = found[:, ::-1, ::-1] if turned and found.ndim == 4 else found
        assert np.abs(found - expected).max() < tolerance


@pytest.mark.parametrize("task", ["predict", "train"])
@pytest.mark.parametrize("name", architectures.NETWORKS)
def test_pytorch(name, task):
    """Where Keras and tinycnn put an odd row of padding last, PyTorch puts it first: it sees everything upside down.

    Networks with a flatten have no such padding, and must agree as they are.
    """
    pytest.importorskip("torch")
    from peer_torch import Worker

    network = small(name)
    worker, other = ours(network, task), Worker({"fused": True, "channels_last": True})
    other.setup(network, task, None)
    turned = ("flatten",) not in network["layers"]
    give_torch(worker.model, other.model, turned)
    if turned:
        other.x.copy_(other.x.flip(2, 3))
    check(worker, other, task, turned)


@pytest.mark.parametrize("task", ["predict", "train"])
@pytest.mark.parametrize("name", architectures.NETWORKS)
def test_keras(name, task):
    pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    from peer_keras import Worker

    network = small(name)
    worker, other = ours(network, task), Worker({"jit_compile": False, "run_eagerly": True})  # no time goes into graphs
    other.setup(network, task, None)
    give_keras(worker.model, other.model)
    check(worker, other, task)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", architectures.NETWORKS)
def test_exported(name, engine):
    """The file is PyTorch's network, so it is compared with that: same seed, same initial weights."""
    pytest.importorskip("torch")
    pytest.importorskip(engine)
    from peer_onnx import Worker
    from peer_torch import Worker as TorchWorker

    network = small(name)
    worker, other = TorchWorker({}), Worker({"engine": engine})
    for each in (worker, other):
        each.setup(network, "predict", None)
    check(worker, other, "predict")
