"""Two pages beside the report: of which images, and what if there is only one kind."""

import json
import re

import numpy as np
import pytest

from tinycnn.layers import Dense, Flatten
from tinycnn.model import Sequential
from tinycnn.study.films.phantoms import chest_phantoms
from tinycnn.study.report.inside_pages import write_inside_pages


@pytest.mark.parametrize(
    "probabilities, expected",
    [
        # labels 0, 0, 1, 2: right are 0 and 2 (the latter less sure), wrong 1 and 3 (the latter surer)
        (
            [[0.9, 0.1, 0], [0.4, 0.6, 0], [0.3, 0.5, 0.2], [0.8, 0.1, 0.1]],
            {"inside.html": 2, "inside_wrong.html": 3},
        ),
        (np.eye(3)[[0, 0, 1, 2]], {"inside.html": 0}),
        (np.eye(3)[[1, 1, 2, 0]], {"inside_wrong.html": 0}),
    ],
)
def test_which_images(tmp_path, probabilities, expected):
    test = chest_phantoms(n_train=1, n_test=(2, 1, 1), size=32, mode="L").test
    model = Sequential([Flatten(), Dense(3, activation="softmax")])
    model.build(test.images.shape[1:])
    files = write_inside_pages(tmp_path, model, test, np.array(probabilities))
    assert [path.name for path in files] == list(expected) == sorted(path.name for path in tmp_path.iterdir())
    for path in files:
        text = re.search('id="data">(.*?)</script>', path.read_text()).group(1)
        data, image = json.loads(text), expected[path.name]
        assert data["label"] == test.labels[image] and data["classes"] == list(test.class_names)
        logits = test.images[image].ravel() / 255 @ model.layers[1].params["kernel"]
        loss = np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[data["label"]]
        assert data["loss"] == pytest.approx(loss, rel=1e-4), "of that very image"
