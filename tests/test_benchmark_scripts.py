"""The benchmarks' scripts print what they promise, draw it, and say what is wrong."""

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

pytestmark = pytest.mark.long


def script(name, *arguments):
    """What ``python benchmarks/NAME.py --quick ...`` prints."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick", *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "name, options, promised",
    [
        ("train_step", "", [r"\| +step s \| spread \| tinycnn/it ", r"\| tinycnn \* +\| +\d+\.\d{3} \|"]),
        ("inference", "--peers tinycnn", [r"batch 2\n", r"batch 1\n", r"\| tinycnn \* +\| +\d+\.\d \|"]),
        (
            "networks",
            "--networks lenet5 --peers tinycnn,onnxruntime",
            [r"training step", r"prediction", r"\| lenet5 \| 2 x 32x32x1 \| +\d+\.\d\d \|"],
        ),
        ("scaling", "", [r"channels \(train, batch 8, side 64\)", r"\| 256 +\| +\d+\.\d ms \([ -]\d\.\d\) \|"]),
        ("roofline", "", [r"GEMM tile, \d+x\d+: \d+ GFLOP/s", r"\| +conv2d \+ pool", r"all bounds together: \d+ ms"]),
        ("dense_layer", "", [r"update in place \d+\.\d GB/s", r"\| 1 +\| +both gradients \|"]),
        ("input_pipeline", "", [r"\| +equalize +\|", r"share of training that goes into the batch"]),
        ("winograd_table", "", [r"\| 8 +\| +16 \| +16 \|"]),
    ],
)
def test_scripts_print_what_they_promise(name, options, promised):
    printed = script(name, *options.split())
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
