"""The examples as modules, and a small run's report and images, for the tests of what is written about runs."""

import importlib.util
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinycnn.data import Dataset
from tinycnn.study.notices import NOTICE
from tinycnn.study.provenance import environment
from tinycnn.study.report.scoring import list_predictions, score_predictions

NAMES = ("Covid", "Normal", "<b>Viral|Pneumonia</b>")


class Page(HTMLParser):
    """Collects what a browser would see; fails on tags that are not closed in order, and on what the policy forbids."""

    EMPTY = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.images, self.words, self.metas, self.raw = [], [], [], [], [], {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)
        found = {"img": self.images, "meta": self.metas}.get(tag, [])
        found.append(dict(attributes))
        assert not any(name.startswith("on") or name == "style" for name, _ in attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("style", "script"):
            self.raw[self.open[-1]] = self.raw.get(self.open[-1], "") + data
        elif self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


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


def small_run(n=12, seed=0, synthetic=False, names=NAMES):
    """The report, test set, probabilities and heat maps of a run that nobody ran."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    probabilities = rng.dirichlet([1, 1, 1], n)
    images = rng.integers(0, 256, (n, 20, 24, 3), dtype=np.uint8)
    test = Dataset(images, labels, names, [f"test/{names[k][:3]}/{i}.png" for i, k in enumerate(labels)])
    clean = np.arange(3, n)
    report = {
        "notice": NOTICE,
        "synthetic": synthetic,
        "data": {"name": "films & more", "sha256": "ab" * 32, "image_shape": [20, 24, 3], "class_names": list(names)}
        | {"train": dict.fromkeys(names, 5), "test": test.counts(), "skipped": [["train/bad.png", "cut off"]]},
        "settings": {"epochs": 2, "seed": 7},
        "class_weights": [1.0, 1.0, 1.0],
        "model": {"name": "report_cnn", "parameters": 1234567, "layers": ["Dense(3)"]},
        "history": {"loss": [1.5, 0.75], "accuracy": [0.25, 0.5], "learning_rate": [0.001, 0.0005]},
        "results": {
            f"all {n} test images": score_predictions(labels, probabilities, names) | {"near_copies": 3},
            f"{n - 3} without near-copies": score_predictions(labels[clean], probabilities[clean], names),
        },
        "audit": {
            "warnings": ["size is larger in 'Covid' <script>: a shortcut"],
            "near_copies": [{"a": "train/x.png", "b": "test/y.png", "kind": "identical", "correlation": 1.0}],
        },
        "attention": {
            "inside_lungs": {name: {"share": 0.125, "area": 0.25, "images": 4} for name in names},
            "randomization": {"dense": 0.5, "conv2d": -0.25},
        },
        "predictions": list_predictions(test, probabilities),
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
        "predictions": [],
        "audit": {"warnings": [], "near_copies": []},
        "attention": {"randomization": {"dense": 0.5}},
    }


def hostile(value):
    """The same report with a line break and tags in every text of it, names included."""
    if isinstance(value, dict):
        return {
            f"{key}\n\n<b>x</b>" if key in NAMES or key.startswith("all ") else key: hostile(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return f"{value}\n\n<b>x</b> ![y](z)" if isinstance(value, str) else value
