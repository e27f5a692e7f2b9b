"""From a trained model to a folder of results: pictures, ``report.json``, a model card and one HTML page."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.data.dataset import Dataset
from tinycnn.files import plain, write_json
from tinycnn.inside import grad_cam, inside_by_class, randomization_check
from tinycnn.model import Sequential
from tinycnn.scores.calibration import fit_temperature, reliability_curve
from tinycnn.scores.plots import plot_confusion_matrix, plot_history, plot_reliability, plot_roc, plot_sample_grid
from tinycnn.scores.roc import roc_curves
from tinycnn.study.experiment import Experiment
from tinycnn.study.films.lung_field import lung_field_mask
from tinycnn.study.notices import NOTICE, SYNTHETIC
from tinycnn.study.provenance import dataset_hash, environment, weights_hash
from tinycnn.study.report.html import write_html_report
from tinycnn.study.report.model_card import write_model_card
from tinycnn.study.report.overlays import overlay, plot_overlays
from tinycnn.study.report.scoring import list_predictions, mistakes, of_chest_films, short_names

_CORRECT, _WRONG = 4, 4  # pictures of heat maps: correct ones per class, mistakes


def describe_images(experiment: Experiment, parts: Mapping[str, Dataset], chest_films: bool) -> dict[str, Any]:
    """What ``report.json`` says of the images: name, hash, shape, classes, and how many of each class in each part.

    Parameters
    ----------
    experiment : Experiment
    parts : mapping of str to Dataset
        "train", maybe "validation", and "test".
    chest_films : bool
        Whether the images are of chests: what they are called, and whether lungs are sought in them.
    """
    path, train = experiment.path, parts["train"]
    return {
        "name": "chest_phantoms" if path is None else Path(path).resolve().name,
        "synthetic": experiment.synthetic,
        "sha256": dataset_hash(*parts.values()),
        "chest_films": chest_films,
        "image_shape": train.images.shape[1:],
        "class_names": train.class_names,
        "skipped": experiment.data.skipped,
    } | {name: part.counts() for name, part in parts.items()}


def report_run(
    experiment: Experiment,
    report: Mapping[str, Any],
    model: Sequential,
    parts: Mapping[str, Dataset],
    probabilities: np.ndarray,
    html: bool = True,
) -> list[Path]:
    """Look at where a trained network looks, and write everything that can be said of its run into ``options.out``.

    Parameters
    ----------
    experiment : Experiment
    report : dict
        With ``data`` of `describe_images`, ``settings``, ``class_weights``, ``model`` (its name), ``history`` of `fit`
        and ``results`` of `score_model`.
    model : Sequential
    parts : mapping of str to Dataset
        As for `describe_images`; on validation images the temperature is fitted.
    probabilities : ndarray, (test images, classes)
        Of `score_model`.
    html : bool
        False leaves out the page.

    Returns
    -------
    list of pathlib.Path
        The files, as of `write_run_report`.
    """
    print("\nLooking at where it looks ...", flush=True)
    test, validation, history = parts["test"], parts.get("validation"), report["history"]
    maps, attention = attention_maps(model, test, probabilities.argmax(axis=1), lungs=of_chest_films(report))
    layers = [repr(layer) for layer in model.layers]
    report = {
        "notice": NOTICE,
        "synthetic": experiment.synthetic,
        **report,
        "model": {
            "name": report["model"],
            "parameters": model.count_params,
            "layers": layers,
            "sha256": weights_hash(model),
        },
        **environment(),
        "audit": experiment.audit.to_dict(),
        "attention": attention,
        "predictions": list_predictions(test, probabilities),
    }
    if validation is not None:
        logits = np.log(np.maximum(model.predict(validation), 1e-30))  # softmax turns these back into probabilities
        report["temperature"] = fit_temperature(logits, validation.labels)
    train_seconds = sum(history["seconds"])
    report["timing"] = {
        "load_seconds": experiment.loaded,
        "train_seconds": train_seconds,
        "images_per_second": len(parts["train"]) * history.epochs / train_seconds,
        "total_seconds": experiment.seconds,
    }
    return write_run_report(experiment.options.out, report, test, probabilities, maps, html)


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
    maps: np.ndarray,
    html: bool = True,
) -> list[Path]:
    """Write everything that can be said of a run.

    ``report.json``, ``MODEL_CARD.md``, ``curves.png``, ``confusion.png``, ``roc.png``, ``reliability.png``,
    ``samples.png``, ``overlays.png`` and ``report.html``; each whole or not at all.

    Parameters
    ----------
    out : path-like
        Folder, made if it is missing.
    report : dict
        With ``synthetic, data, history, results`` and what `write_html_report` and `write_model_card` read.
    test : Dataset
    probabilities : array of float, shape (images, classes)
    maps : array of float, shape (images, height, width)
        Heat maps of the predictions.
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
    out, report = Path(out), plain(report)
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
    charts = [
        plot_history(report["history"], out / "curves.png", note=note),
        plot_confusion_matrix(matrix, names, out / "confusion.png", note=note),
        plot_reliability(reliability_curve(probabilities, labels), out / "reliability.png", note=note),
    ]
    if curves:
        charts.append(plot_roc(curves, out / "roc.png", note=note))
    sample = np.concatenate([right, wrong[:_WRONG]])
    files = [
        *charts,
        plot_sample_grid(test.images, labels, names, out / "samples.png", probabilities=probabilities, note=note),
        plot_overlays(
            test.images[sample], maps[sample], [captions[i] for i in sample], out / "overlays.png", note=note
        ),
    ]
    files.append(out / "report.json")
    write_json(files[-1], report)
    files.append(write_model_card(out / "MODEL_CARD.md", report))
    if html:
        shown = worth_showing(wrong, len(test))
        pictures = {i: _side_by_side(test.images[i], maps[i]) for i in shown}
        files.append(write_html_report(out / "report.html", report, pictures))
    return files


def worth_showing(wrong: np.ndarray, images: int, most: int = 300) -> list[int]:
    """Which images the page shows: all, or, of more than `most`, the mistakes and right ones spread over the set.

    Parameters
    ----------
    wrong : ndarray of int
        The mistakes, those to be shown first in front.
    images : int
    most : int
        Some 20 KB each at 256 x 256 pixels.

    Examples
    --------
    >>> worth_showing(np.array([4, 1]), 9, most=4)
    [4, 1, 0, 8]
    """
    right = np.setdiff1d(np.arange(images), wrong)
    room = max(0, min(len(right), most - len(wrong)))
    spread = np.linspace(0, len(right) - 1, room).round().astype(int)
    return [*wrong[:most].tolist(), *right[spread].tolist()]


def _side_by_side(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A film, and right of it the same under its heat map."""
    return np.concatenate([overlay(image[None], 0 * heat[None])[0], overlay(image[None], heat[None])[0]], axis=1)
