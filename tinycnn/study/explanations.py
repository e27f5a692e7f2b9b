"""Explanations held against the truth: which of them find what was drawn into phantoms, and depend on the network."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinycnn import inside
from tinycnn.data.dataset import Dataset
from tinycnn.inside.randomization import Explain
from tinycnn.model import Sequential
from tinycnn.scores.intervals import bootstrap_interval, wilson_interval
from tinycnn.study.report.tables import Table, decimals, interval_text

ALIKE = 0.5**0.5  # rank correlation at which a random network's maps tell half of the trained one's variance of ranks


def edges(model: Sequential, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """How steep the image is at each pixel; asks no network, so no explanation should do worse.

    >>> edges(None, np.float64([[[[0.0], [0.0], [2.0]]]]), None)
    array([[[0., 2., 2.]]])
    """
    grey = np.asarray(images, np.float64).mean(axis=3)  # (images, height, width)
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    down, right = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1], padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    return np.hypot(down, right)


METHODS: dict[str, Explain] = {
    "Grad-CAM": inside.grad_cam,
    "gradient": lambda *asked: inside.heat_map(inside.saliency(*asked)),
    "guided backpropagation": lambda *asked: inside.heat_map(inside.guided_backpropagation(*asked)),
    "SmoothGrad": lambda *asked: inside.heat_map(inside.smooth_grad(*asked)),
    "integrated gradients": lambda *asked: inside.heat_map(inside.integrated_gradients(*asked)),
    "occlusion": lambda *asked: np.maximum(inside.occlusion(*asked), 0),
    "edges of the film": edges,
}


class Trial(NamedTuple):
    """How one method did.

    Attributes
    ----------
    inside, inside_interval : float, (float, float)
        Mean share of the heat within the masks, and its bootstrap 95 % interval.
    gain_interval : (float, float)
        Of the same films' share minus that of the edges.
    pointing, pointing_interval : float, (float, float)
        Share of films whose hottest pixel is within the mask, and its Wilson 95 % interval.
    alike : float
        Largest mean rank correlation with maps made while weights are random, from the output layer's alone to all.
    trusted : bool
        Whether it finds more than the edges do (`gain_interval` above 0) and `alike` is below `ALIKE`.
    """

    inside: float
    inside_interval: tuple[float, float]
    gain_interval: tuple[float, float]
    pointing: float
    pointing_interval: tuple[float, float]
    alike: float
    trusted: bool


def compare_explanations(
    model: Sequential,
    images: Dataset | np.ndarray,
    classes: Sequence[int] | np.ndarray,
    masks: np.ndarray,
    methods: Mapping[str, Explain] = METHODS,
    checked: int = 12,
) -> dict[str, Trial]:
    """Score every method by what it finds of the truth, and by whether it notices that a network learnt nothing.

    Parameters
    ----------
    model : Sequential
        Trained.
    images : Dataset or array, shape (images, height, width, channels)
        That the model calls right: of a mistake nobody knows what should be found.
    classes : sequence of int, shape (images,)
        To explain.
    masks : ndarray of bool, shape (images, height, width)
        Where what makes the class is, such as `chest_phantom_masks` gives; some of it in every image.
    methods : mapping of str to callable
        ``explain(model, images, classes) -> maps``, not negative.
    checked : int
        Images, spread evenly, for the check with random weights.

    Returns
    -------
    dict of str -> Trial
        By the name of the method.  A map without any heat finds nothing.

    Raises
    ------
    ValueError
        If the masks do not fit the images or one of them is empty.

    References
    ----------
    J. Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018 (random weights, and edges as the measure);
    L. Arras, A. Osman, W. Samek, "CLEVR-XAI", Information Fusion 81, 2022 (share of the heat within a known mask).
    """
    films, labels = np.asarray(images.images if isinstance(images, Dataset) else images), np.asarray(classes)
    if masks.shape != films.shape[:3] or not len(masks) or not masks.any(axis=(1, 2)).all():
        raise ValueError(
            f"images {films.shape} need masks of shape {films.shape[:3]}, none of them empty; got {masks.dtype} "
            f"{masks.shape}"
        )
    sample = np.unique(np.linspace(0, len(films) - 1, min(checked, len(films))).round().astype(int))
    by_edges = inside.mass_inside(edges(model, films, labels), masks)
    trials = {}
    for name, explain in methods.items():
        maps = explain(model, films, labels)
        share, hits = (np.nan_to_num(score(maps, masks)) for score in (inside.mass_inside, inside.pointing_game))
        gain = bootstrap_interval(np.mean, share - by_edges)
        alike = max(inside.randomization_check(model, films[sample], explain=explain).values())
        trials[name] = Trial(
            float(share.mean()),
            bootstrap_interval(np.mean, share),
            gain,
            float(hits.mean()),
            wilson_interval(hits.sum(), len(hits)),
            alike,
            gain[0] > 0 and alike < ALIKE,
        )
    return trials


def explanations_table(trials: Mapping[str, Trial], masks: np.ndarray) -> Table:
    """The trials as a table, with what a map that is equally warm everywhere would score.

    Parameters
    ----------
    trials : mapping of str to Trial
    masks : ndarray of bool, shape (images, height, width)
        That they were held against.
    """
    heads = ("explanation", "heat inside", "95 %", "more than edges, 95 %", "points inside", "95 %")
    rows: list[tuple[Any, ...]] = [
        (name, decimals(trial.inside), interval_text(trial.inside_interval), interval_text(trial.gain_interval))
        + (decimals(trial.pointing), interval_text(trial.pointing_interval))
        + (decimals(trial.alike, ".2f"), "yes" if trial.trusted else "no")
        for name, trial in trials.items()
    ]
    chance = decimals(float(masks.mean()))
    rows.append(("everywhere alike", chance, None, None, chance, None, None, "no"))
    return Table((*heads, "alike with random weights", "trust it here"), rows)
