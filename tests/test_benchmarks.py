"""The benchmarks: every library computes the same numbers, and the scripts print what they promise."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import architectures  # noqa: E402
import networks  # noqa: E402
import peers  # noqa: E402

TOLERANCE = 1e-4


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
    worker, other = ours(network, task), Worker({"jit_compile": False})
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


def script(name, *arguments):
    """What ``python benchmarks/NAME.py --quick ...`` prints."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick", *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "name, promised",
    [
        ("train_step", [r"\| +step s \| spread \| tinycnn/it ", r"\| tinycnn \* +\| +\d+\.\d{3} \|"]),
        ("inference", [r"batch 2\n", r"batch 1\n", r"\| tinycnn \* +\| +\d+\.\d \|"]),
        ("networks", [r"training step", r"prediction", r"\| lenet5 \| 2 x 32x32x1 \| +\d+\.\d\d \|"]),
        ("scaling", [r"channels \(train, batch 8, side 64\)", r"\| 256 +\| +\d+\.\d ms \([ -]\d\.\d\) \|"]),
        ("roofline", [r"GEMM tile, \d+x\d+: \d+ GFLOP/s", r"\| +conv2d \+ pool", r"all bounds together: \d+ ms"]),
        ("dense_layer", [r"update in place \d+\.\d GB/s", r"\| 1 +\| +both gradients \|"]),
        ("input_pipeline", [r"\| +equalize +\|", r"share of training that goes into the batch"]),
        ("winograd_table", [r"\| 8 +\| +16 \| +16 \|"]),
    ],
)
def test_scripts_print_what_they_promise(name, promised):
    printed = script(name, *(["--networks", "lenet5"] if name == "networks" else []))
    assert re.match(r".+, \d+ cores\n", printed)
    for pattern in promised:
        assert re.search(pattern, printed), (pattern, printed)


def test_start_up_finds_no_large_array_in_a_step():
    found = json.loads(script("start_up", "--json"))
    assert found["first_ever"]["first_step_s"] > found["later"]["first_step_s"] > found["later"]["steady_s"] > 0
    assert found["allocations"]["largest_rise_bytes"] < 1e6


def test_networks_as_json_and_picture(tmp_path):
    """With tinycnn alone there is nothing to divide by, and that is no error."""
    picture = tmp_path / "networks.png"
    options = [
        "--networks",
        "lenet5,eight_filters",
        "--task",
        "train",
        "--peers",
        "tinycnn",
        "--out",
        picture,
        "--json",
    ]
    result = json.loads(script("networks", *options))
    found = result["tasks"]["train"]
    assert list(found) == ["lenet5", "eight_filters"] and list(result["tasks"]) == ["train"]
    for network in found.values():
        assert network["tinycnn_s"] > 0 and network["batch"] == 2
        assert network["ratio_best"] is None and network["left_out"] == {}
    assert result["summary"]["train"]["ratio_best"] is None
    with Image.open(picture) as image:
        assert min(image.size) > 300 and image.convert("L").getextrema() == (0, 255)


def test_step_times_as_picture(tmp_path):
    """The bar of each library as long as its time, the fastest on top."""
    import train_step

    seconds = {"tinycnn": 0.25, "torch": 1.0, "keras": 0.5}
    found = {label: {"median_s": time, "quartiles_s": [time, time]} for label, time in seconds.items()}
    result = {"peers": found, "tinycnn_s": 0.25, "batch": 16, "side": 256, "processor": "any", "cores": 2}
    train_step.plot(result, tmp_path / "speed.png")
    with Image.open(tmp_path / "speed.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0]) > 80
    grey = (np.ptp(pixels, axis=2) < 3) & (abs(pixels[..., 0] - 184) < 3)
    lengths = [(blue | grey)[rows].sum(axis=1).max() for rows in np.array_split(np.arange(len(pixels)), 3)]
    assert blue[: len(blue) // 3].any() and not blue[len(blue) // 2 :].any()
    assert np.allclose(np.divide(lengths, lengths[0]), [1, 2, 4], rtol=0.05)


def test_geometric_mean_and_worst():
    found = {"a": {"ratio": 0.5}, "b": {"ratio": 2.0}, "left out": {"ratio": None}}
    mean, worst = networks.mean_and_worst(found, "ratio")
    assert mean == pytest.approx(1.0) and worst == ("b", 2.0)


def test_the_fastest_of_a_kind_counts():
    found = peers.ratios({"tinycnn": 1.0, "torch_tuned_nchw": 4.0, "torch_tuned_nhwc": 2.0, "keras": 8.0})
    assert found["ratio_torch_tuned"] == 0.5 and found["ratio_keras"] == 0.125 and found["ratio_torch"] is None
    assert found["fastest_of_kind"]["torch_tuned"] == "torch_tuned_nhwc"


def test_a_library_that_is_missing_or_fails_is_left_out(monkeypatch):
    broken = peers.Spec("broken", "no_such_library", {}, {}, "Broken")
    monkeypatch.setitem(peers.PEERS, "broken", broken)
    monkeypatch.setattr(peers, "KINDS", [*peers.KINDS, "broken"])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    network = architectures.network(16, 1, 2, [("flatten",)], classes=2)
    found = peers.measure(["tinycnn", "broken"], network, "train", lambda seconds: (2, 3))
    assert list(found["peers"]) == ["tinycnn"] and found["peers"]["tinycnn"]["n"] == 6
    assert "no_such_library" in found["left_out"]["broken"]


def test_unknown_networks_are_named():
    with pytest.raises(argparse.ArgumentTypeError, match="unknown network nothing; known are report, mnist"):
        networks.parse_networks("mnist,nothing")
