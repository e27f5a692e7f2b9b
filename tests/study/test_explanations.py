"""Explanations that are known to be good, blind, or deaf to the weights, and what the trial says of them."""

import numpy as np
import pytest

from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.reshape import Flatten
from tinycnn.model import Sequential
from tinycnn.scores.intervals import wilson_interval
from tinycnn.study.explanations import METHODS, compare_explanations, edges, explanations_table


@pytest.fixture(scope="module")
def case():
    """A network, images with an edge somewhere, and masks of a place elsewhere."""
    rng = np.random.default_rng(0)
    images = rng.integers(100, 110, (12, 16, 16, 1), dtype=np.uint8)
    images[:, :, 12:] = 250
    masks = np.zeros((12, 16, 16), bool)
    masks[:, 3:6, 2:8] = True
    model = Sequential([Conv2D(2, 3, activation="relu"), Flatten(), Dense(2, activation="softmax")])
    model.build((16, 16, 1))
    return model, images, masks


def test_trials_by_hand(case):
    model, images, masks = case
    trained = model.get_weights()["dense/kernel"]

    def truth(asked, films, classes):
        """Knows the place, and whether the network is the trained one."""
        noise = np.random.default_rng(1).random(masks.shape)[: len(films)]
        same = np.array_equal(asked.get_weights()["dense/kernel"], trained)
        return masks[: len(films)] * 3.0 + noise if same else noise[:, ::-1]

    def deaf(asked, films, classes):
        return masks[: len(films)].astype(float)

    def cold(asked, films, classes):
        return np.zeros(films.shape[:3])

    trials = compare_explanations(
        model, images, np.zeros(12, int), masks, {"a": truth, "b": deaf, "c": cold, "d": edges}
    )
    assert [trial.trusted for trial in trials.values()] == [True, False, False, False]
    heat = truth(model, images, None)
    assert trials["a"].inside == pytest.approx(
        np.mean([h[m].sum() / h.sum() for h, m in zip(heat, masks, strict=True)])
    )
    assert trials["b"][:2] == (1, (1, 1)) and trials["b"].alike == pytest.approx(1)
    assert trials["b"].pointing == 1 and trials["b"].pointing_interval == wilson_interval(12, 12)
    assert trials["c"].inside == trials["c"].pointing == trials["c"].alike == 0 and trials["c"].gain_interval[1] < 0
    assert trials["d"].gain_interval == (0, 0) and trials["d"].alike == pytest.approx(1)
    table = explanations_table(trials, masks)
    assert [row[0] for row in table.rows] == ["a", "b", "c", "d", "everywhere alike"]
    assert table.rows[-1][1] == f"{masks.mean():.3f}" and all(len(row) == len(table.heads) for row in table.rows)


def test_every_method_gives_heat_of_the_images_size(case):
    model, images, masks = case
    before = model.get_weights()
    for explain in METHODS.values():
        maps = explain(model, images[:2], np.array([0, 1]))
        assert maps.shape == (2, 16, 16) and maps.min() >= 0 and maps.max() > 0
    assert all((before[key] == value).all() for key, value in model.get_weights().items())


def test_edges_are_where_the_image_is_steep(case):
    _, images, _ = case
    assert set(edges(None, images, None).argmax(axis=2).ravel()) == {11, 12}


def test_masks_that_do_not_fit(case):
    model, images, masks = case
    for wrong in (masks[:3], masks & False):
        with pytest.raises(ValueError, match=r"need masks of shape \(12, 16, 16\), none of them empty"):
            compare_explanations(model, images, np.zeros(12, int), wrong)
