"""From a trained model to a folder of results: pictures, ``report.json``, a model card and one HTML page."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tinycnn.arguments import as_path, listed, numbers, of_class
from tinycnn.data.dataset import Dataset, Splits
from tinycnn.files import plain, write_json
from tinycnn.inside import grad_cam, inside_by_class, randomization_check
from tinycnn.layers.conv import Conv2D
from tinycnn.model import Sequential
from tinycnn.scores.calibration import fit_temperature, reliability_curve
from tinycnn.scores.figure import save_figure
from tinycnn.scores.image_grids import plot_sample_grid
from tinycnn.scores.plots import plot_confusion_matrix, plot_history, plot_reliability, plot_roc
from tinycnn.scores.roc import roc_curves
from tinycnn.study.films.audit import audit
from tinycnn.study.films.known_sets import chest_class_names
from tinycnn.study.films.lung_field import lung_field_mask
from tinycnn.study.notices import NOTICE, SYNTHETIC
from tinycnn.study.provenance import dataset_hash, environment, weights_hash
from tinycnn.study.report.html import write_html_report
from tinycnn.study.report.model_card import write_model_card
from tinycnn.study.report.overlays import overlay, plot_overlays
from tinycnn.study.report.scoring import list_predictions, mistakes, of_chest_films, score_model, short_names

_CORRECT, _WRONG = 4, 4  # pictures of heat maps: correct ones per class, mistakes


def report(
    model: Sequential,
    train: Dataset | None,
    test: Dataset,
    out: str | os.PathLike[str],
    *,
    validation: Dataset | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    name: str = "images in memory",
    synthetic: bool = False,
) -> list[Path]:
    """Score a trained model and write all that can be said of it: page, model card, pictures, JSON.

    Parameters
    ----------
    model : Sequential
        Giving probabilities; what its ``metadata`` holds is told as its settings.
    train : Dataset or None
        What it was trained on, in which near-copies of test images are sought; None if that is not at hand.
    test : Dataset
    out : path-like
        Folder, made if it is missing.
    validation : Dataset, optional
        A temperature is fitted on it.
    history : History, optional
        Of `fit`, for the curves; by default ``model.metadata["history"]``.
    name : str
        Of the images.
    synthetic : bool
        Whether they are drawings, which page and card then say.

    Returns
    -------
    list of pathlib.Path
        The files, as of `write_run_report`.

    Raises
    ------
    ValueError
        If the model does not fit the images, or gives no probabilities.
    OSError
        Naming the file that cannot be written.

    Examples
    --------
    >>> import tempfile, tinycnn
    >>> data = tinycnn.chest_phantoms(n_train=4, n_test=2, size=32)
    >>> model = tinycnn.Sequential([tinycnn.Flatten(), tinycnn.Dense(3, activation="softmax")])
    >>> history = model.fit(data.train, epochs=1, verbose=0)
    >>> files = report(model, data.train, data.test, tempfile.mkdtemp(), history=history, synthetic=True)
    >>> sorted(path.name for path in files)[-4:]
    ['report.html', 'report.json', 'roc.png', 'samples.png']
    """
    of_class(model, Sequential, "model")
    of_class(test, Dataset, "test")
    of_class(name, str, "name")
    of_class(synthetic, bool, "synthetic")
    for what, data in {"train": train, "validation": validation}.items():
        if data is not None:
            of_class(data, Dataset, what)
    if history is not None:
        of_class(history, Mapping, "history")
        for key, row in history.items():
            numbers([value for value in listed(row, f"history: {key}") if value is not None], f"history: {key}")
    parts = {"train": train, "validation": validation, "test": test}
    known = {key: part for key, part in parts.items() if part is not None}
    found = None if train is None else audit(Splits(train, test))
    scored, probabilities = score_model(model, test, found)
    run = run_of(model, known, scored, name, synthetic)
    run |= {} if history is None else {"history": history}
    run |= {} if found is None else {"audit": found.to_dict()}
    described, maps = describe_run(run, model, known, probabilities)
    return write_run_report(out, described, test, probabilities, maps)


def run_of(
    model: Sequential,
    parts: Mapping[str, Dataset],
    results: Mapping[str, Mapping[str, Any]],
    name: str,
    synthetic: bool = False,
) -> dict[str, Any]:
    """A run's dict, for `describe_run`, of a model of whose training only its ``metadata`` tell.

    Parameters
    ----------
    model : Sequential
    parts : mapping of str to Dataset
        As for `describe_images`.
    results : dict
        Of `score_model`.
    name : str
        Of the images.
    synthetic : bool
    """
    kept = {"class_names", "data_sha256", "history", "preprocessing"}
    return {
        "data": {"name": name, "synthetic": synthetic, "skipped": []} | describe_images(parts),
        "settings": {key: value for key, value in model.metadata.items() if key not in kept},
        "model": model.name,
        "history": model.metadata.get("history", {}),
        "results": results,
    }


def describe_images(parts: Mapping[str, Dataset]) -> dict[str, Any]:
    """What ``report.json`` says of the images: hash, shape, classes, and how many of each class in each part.

    Parameters
    ----------
    parts : mapping of str to Dataset
        "train" and "validation", if there are such, and "test".
    """
    test = parts["test"]
    return {
        "sha256": dataset_hash(*parts.values()),
        "chest_films": chest_class_names(test.class_names),
        "image_shape": test.images.shape[1:],
        "class_names": test.class_names,
    } | {name: part.counts() for name, part in parts.items()}


def describe_run(
    run: Mapping[str, Any], model: Sequential, parts: Mapping[str, Dataset], probabilities: np.ndarray
) -> tuple[dict[str, Any], np.ndarray | None]:
    """A run's dict with all that `write_run_report` needs, and the heat maps of its test images.

    Parameters
    ----------
    run : dict
        With ``data`` of `describe_images`, ``settings``, ``model`` (its name), ``history`` of `fit` and ``results`` of
        `score_model`; its other keys are kept.
    model : Sequential
    parts : mapping of str to Dataset
        As for `describe_images`; on validation images the temperature is fitted.
    probabilities : ndarray, (test images, classes)
        Of `score_model`.

    Returns
    -------
    run : dict
    maps : ndarray, (test images, height, width), or None
        None for a model without convolutions, which has no heat maps.
    """
    test, validation = parts["test"], parts.get("validation")
    told = {
        "notice": NOTICE,
        "synthetic": run["data"]["synthetic"],
        **run,
        "model": {
            "name": run["model"],
            "parameters": model.count_params,
            "layers": [repr(x) for x in model.layers],
            "sha256": weights_hash(model),
        },
        **environment(),
        "predictions": list_predictions(test, probabilities),
    }
    maps = None
    if any(isinstance(layer, Conv2D) for layer in model.all_layers()):
        maps, told["attention"] = attention_maps(model, test, probabilities.argmax(axis=1), lungs=of_chest_films(run))
    if validation is not None:
        logits = np.log(np.maximum(model.predict(validation), 1e-30))  # softmax turns these back into probabilities
        told["temperature"] = fit_temperature(logits, validation.labels)
    return told, maps


def attention_maps(
    model: Sequential, data: Dataset, predictions: Sequence[int] | np.ndarray, checked: int = 16, lungs: bool = True
) -> tuple[np.ndarray, dict[str, Any]]:
    """Heat maps of what each image was called, how much of them lies in the lungs, and what they are worth.

    Parameters
    ----------
    model : Sequential
    data : Dataset
    predictions : sequence of int, shape (images,)
        The class that each map is to explain.
    checked : int
        Images, spread evenly, for the check with random weights.
    lungs : bool
        Whether to look for lungs: only chest films have them where `lung_field_mask` seeks them.

    Returns
    -------
    maps : ndarray of float32, shape (images, height, width)
        See `grad_cam`.
    attention : dict
        ``inside_lungs`` of `inside_by_class` (by true class, with `lungs`) and ``randomization`` of
        `randomization_check`.
    """
    maps = grad_cam(model, data.images, predictions)
    sample = np.unique(np.linspace(0, len(data) - 1, min(checked, len(data))).round().astype(int))
    attention: dict[str, Any] = {"randomization": randomization_check(model, data.images[sample])}
    if lungs:
        masks = lung_field_mask(data.images)
        attention["inside_lungs"] = inside_by_class(maps, masks, data.labels, data.class_names)
    return maps, attention


def write_run_report(
    out: str | os.PathLike[str],
    report: Mapping[str, Any],
    test: Dataset,
    probabilities: np.ndarray,
    maps: np.ndarray | None,
    html: bool = True,
) -> list[Path]:
    """Write everything that can be said of a run.

    ``report.json``, ``MODEL_CARD.md``, ``curves.png``, ``confusion.png``, ``roc.png``, ``reliability.png``,
    ``samples.png``, ``overlays.png`` and ``report.html``; each whole or not at all.  Without a history there are no
    curves, without heat maps no overlays, and no ROC where a class has no images, or all.

    Parameters
    ----------
    out : path-like
        Folder, made if it is missing.
    report : dict
        With ``synthetic, data, history, results`` and what `write_html_report` and `write_model_card` read.
    test : Dataset
    probabilities : array of float, shape (images, classes)
    maps : array of float, shape (images, height, width), or None
        Heat maps of the predictions, if there are such.
    html : bool
        False leaves out the page.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    OSError
        Naming the file that cannot be written.
    ValueError
        For a report that lacks a part, or sizes that do not fit.
    """
    out, report = as_path(out, "out"), plain(report)
    note = (SYNTHETIC if report["synthetic"] else f"Data: {report['data']['name']}.") + " " + NOTICE
    names, labels = test.class_names, test.labels
    matrix = next(iter(report["results"].values()))["confusion_matrix"]
    wrong = mistakes(labels, probabilities)
    right = np.setdiff1d(np.arange(len(test)), wrong)
    right = np.concatenate([right[labels[right] == k][:_CORRECT] for k in range(len(names))])
    captions = [
        f"{name or i}: {names[label]}, called {names[row.argmax()]} ({row.max():.0%})"
        for i, (name, label, row) in enumerate(
            zip(short_names(test.paths or [""] * len(test)), labels, probabilities, strict=True)
        )
    ]
    # A class without images, or with all of them, has no ROC curve.
    curves = roc_curves(labels, probabilities, names) if 0 not in np.bincount(labels, minlength=len(names)) else {}
    pictures: dict[str, Figure] = {}
    if report["history"].get("loss"):
        pictures["curves"] = plot_history(report["history"], note=note)
    pictures["confusion"] = plot_confusion_matrix(matrix, names, note=note)
    pictures["reliability"] = plot_reliability(reliability_curve(probabilities, labels), note=note)
    if curves:
        pictures["roc"] = plot_roc(curves, note=note)
    pictures["samples"] = plot_sample_grid(test.images, labels, names, probabilities=probabilities, note=note)
    if maps is not None:
        sample = np.concatenate([right, wrong[:_WRONG]])
        texts = [captions[i] for i in sample]
        pictures["overlays"] = plot_overlays(test.images[sample], maps[sample], texts, note=note)
    files = [save_figure(figure, out / f"{name}.png") for name, figure in pictures.items()]
    files.append(out / "report.json")
    write_json(files[-1], report)
    files.append(write_model_card(out / "MODEL_CARD.md", report))
    if html:
        shown = worth_showing(wrong, len(test))
        pairs = {i: _side_by_side(test.images[i], None if maps is None else maps[i]) for i in shown}
        files.append(write_html_report(out / "report.html", report, pairs))
    return files


def worth_showing(wrong: np.ndarray, images: int, most: int = 300) -> list[int]:
    """Which images the page shows: all, or, of more than `most`, the mistakes and right ones spread over the set.

    Parameters
    ----------
    wrong : ndarray of int
        The mistakes, those to be shown first in front.
    images : int
    most : int
        Some 30 KB each at 256 x 256 pixels.

    Examples
    --------
    >>> worth_showing(np.array([4, 1]), 9, most=4)
    [4, 1, 0, 8]
    """
    right = np.setdiff1d(np.arange(images), wrong)
    room = max(0, min(len(right), most - len(wrong)))
    spread = np.linspace(0, len(right) - 1, room).round().astype(int)
    return [*wrong[:most].tolist(), *right[spread].tolist()]


def _side_by_side(image: np.ndarray, heat: np.ndarray | None) -> np.ndarray:
    """An image, and right of it the same under its heat map."""
    if heat is None:
        return image
    return np.concatenate([overlay(image[None], 0 * heat[None])[0], overlay(image[None], heat[None])[0]], axis=1)
