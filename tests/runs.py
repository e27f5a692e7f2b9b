"""The examples as modules, and a small run's report and images, for the tests of what is written about runs."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinycnn.data import Dataset
from tinycnn.study.notices import NOTICE
from tinycnn.study.provenance import environment
from tinycnn.study.report.scoring import score_predictions

NAMES = ("Covid", "Normal", "<b>Viral|Pneumonia</b>")


def example_module(name):
    """``examples/NAME.py``, imported."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent.parent / f"examples/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def whole_run(example, out, *options):
    """The folder `out` after a run of the example on synthetic images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TINYCNN_DATA", raising=False)
        assert example.main([*options, "--out", str(out)]) == 0
    return out


def films(folder, names=("Covid", "Normal"), broken=False):
    """A data set in files, with one near-copy across the splits."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 6), ("test", 3)):
        for name in names:
            (folder / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    (folder / f"test/{names[0]}/0.png").write_bytes((folder / f"train/{names[0]}/3.png").read_bytes())
    if broken:
        (folder / f"train/{names[1]}/broken.png").write_bytes(b"no image")
    return folder


def small_run(n=12, seed=0, synthetic=False):
    """The report, test set, probabilities and heat maps of a run that nobody ran."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    probabilities = rng.dirichlet([1, 1, 1], n)
    images = rng.integers(0, 256, (n, 20, 24, 3), dtype=np.uint8)
    test = Dataset(images, labels, NAMES, [f"test/{NAMES[k][:3]}/{i}.png" for i, k in enumerate(labels)])
    clean = np.arange(3, n)
    report = {
        "notice": NOTICE,
        "synthetic": synthetic,
        "data": {"name": "films & more", "sha256": "ab" * 32, "image_shape": [20, 24, 3], "class_names": list(NAMES)}
        | {"train": dict.fromkeys(NAMES, 5), "test": test.counts(), "skipped": [["train/bad.png", "cut off"]]},
        "settings": {"epochs": 2, "seed": 7},
        "class_weights": [1.0, 1.0, 1.0],
        "model": {"name": "report_cnn", "parameters": 1234567, "layers": ["Dense(3)"]},
        "history": {"loss": [1.5, 0.75], "accuracy": [0.25, 0.5]},
        "results": {
            f"all {n} test images": score_predictions(labels, probabilities, NAMES) | {"near_copies": 3},
            f"{n - 3} without near-copies": score_predictions(labels[clean], probabilities[clean], NAMES),
        },
        "audit": {
            "warnings": ["size is larger in 'Covid' <script>: a shortcut"],
            "near_copies": [{"a": "train/x.png", "b": "test/y.png", "kind": "identical", "correlation": 1.0}],
        },
        "attention": {
            "inside_lungs": {name: {"share": 0.125, "area": 0.25, "images": 4} for name in NAMES},
            "randomization": {"dense": 0.5, "conv2d": -0.25},
        },
        "timing": {"train_seconds": 12.5},
        **environment(),
    }
    return report, test, probabilities, rng.random((n, 20, 24)).astype(np.float32)


def cats_and_dogs():
    """The report of a run on images of something else."""
    labels = np.arange(8) % 2
    scores = score_predictions(labels, np.eye(2)[[0, *labels[1:7], 0]], ["cat", "dog"])
    counts = {"cat": 4, "dog": 4}
    return small_run()[0] | {
        "data": {"name": "pets", "sha256": "cd" * 32, "image_shape": [20, 24, 3], "class_names": ["cat", "dog"]}
        | {"train": counts, "test": counts},
        "class_weights": None,
        "results": {"all 8 test images": scores | {"near_copies": 0}},
        "audit": {"warnings": [], "near_copies": []},
        "attention": {"randomization": {"dense": 0.5}},
    }
