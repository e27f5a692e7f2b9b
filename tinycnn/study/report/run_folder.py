"""From a trained model to a folder of results: pictures, ``report.json``, a model card and one HTML page."""

from pathlib import Path

import numpy as np

from tinycnn.files import plain, write_json
from tinycnn.inside.saliency import grad_cam, inside_by_class, randomization_check
from tinycnn.scores.calibration import reliability_curve
from tinycnn.scores.plots import plot_confusion_matrix, plot_history, plot_reliability, plot_roc, plot_sample_grid
from tinycnn.scores.roc import roc_curves
from tinycnn.study.films.lung_field import lung_field_mask
from tinycnn.study.notices import NOTICE, SYNTHETIC
from tinycnn.study.report.html import Picture, write_html_report
from tinycnn.study.report.model_card import write_model_card
from tinycnn.study.report.overlays import overlay, plot_overlays
from tinycnn.study.report.scoring import mistakes

_CORRECT, _WRONG, _PAGE_WRONG = 4, 4, 12  # pictures: correct ones per class, mistakes, mistakes on the page


def attention_maps(model, data, predictions, checked=16):
    """Heat maps of what each image was called, how much of them lies in the lungs, and what they are worth.

    Parameters
    ----------
    model : Sequential
    data : Dataset
        Chest films.
    predictions : sequence of int, shape (images,)
        The class that each map is to explain.
    checked : int
        Images, spread evenly, for the check with random weights.

    Returns
    -------
    maps : ndarray of float32, shape (images, height, width)
        See `grad_cam`.
    attention : dict
        ``inside_lungs`` of `inside_by_class` (by true class) and ``randomization`` of `randomization_check`.
    """
    maps = grad_cam(model, data.images, predictions)
    sample = np.unique(np.linspace(0, len(data) - 1, min(checked, len(data))).round().astype(int))
    attention = {
        "inside_lungs": inside_by_class(maps, lung_field_mask(data.images), data.labels, data.class_names),
        "randomization": randomization_check(model, data.images[sample]),
    }
    return maps, attention


def write_run_report(out, report, test, probabilities, maps, html=True):
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
        f"{Path(path).name}: {names[label]}, called {names[row.argmax()]} ({row.max():.0%})"
        for path, label, row in zip(test.paths or [""] * len(test), labels, probabilities, strict=True)
    ]
    # A class without images, or with all of them, has no ROC curve.
    curves = roc_curves(labels, probabilities, names) if 0 not in np.bincount(labels, minlength=len(names)) else {}
    charts = [
        Picture(plot_history(report["history"], out / "curves.png", note=note), "Loss and accuracy of each epoch"),
        Picture(plot_confusion_matrix(matrix, names, out / "confusion.png", note=note), "All test images"),
    ]
    if curves:
        charts.append(Picture(plot_roc(curves, out / "roc.png", note=note), "Ranking by probability, all test images"))
    reliability = plot_reliability(reliability_curve(probabilities, labels), out / "reliability.png", note=note)
    charts.append(Picture(reliability, "Whether the probabilities mean what they say, all test images"))
    sample = np.concatenate([right, wrong[:_WRONG]])
    files = [picture.source for picture in charts]
    files += [
        plot_sample_grid(test.images, labels, names, out / "samples.png", probabilities=probabilities, note=note),
        plot_overlays(
            test.images[sample], maps[sample], [captions[i] for i in sample], out / "overlays.png", note=note
        ),
    ]
    files.append(out / "report.json")
    write_json(files[-1], report)
    files.append(write_model_card(out / "MODEL_CARD.md", report))
    if html:
        galleries = {
            "Worst mistakes: wrong, and surest of it": wrong[:_PAGE_WRONG],
            "Heat maps of correct predictions": right,
        }
        pictures = {
            heading: [Picture(_side_by_side(test.images[i], maps[i]), captions[i]) for i in chosen]
            for heading, chosen in galleries.items()
        }
        files.append(write_html_report(out / "report.html", report, charts, pictures))
    return files


def _side_by_side(image, heat):
    """A film, and right of it the same under its heat map."""
    return np.concatenate([overlay(image[None], 0 * heat[None])[0], overlay(image[None], heat[None])[0]], axis=1)
