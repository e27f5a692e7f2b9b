"""Beside a run's report: pages in which every number of two test images' passes can be clicked through."""

import os
from pathlib import Path

import numpy as np

from tinycnn.data.dataset import Dataset
from tinycnn.inside.page import write_inside_page
from tinycnn.model import Sequential
from tinycnn.study.report.scoring import mistakes

RIGHT, WRONG = "inside.html", "inside_wrong.html"


def write_inside_pages(
    out: str | os.PathLike[str], model: Sequential, test: Dataset, probabilities: np.ndarray
) -> list[Path]:
    """Write ``inside.html`` of an image that was called right, and ``inside_wrong.html`` of one that was not.

    Of the right ones that of which the network is least sure, of the wrong ones that of which it is surest: where it is
    right and sure, there is hardly a gradient to see.

    Parameters
    ----------
    out : path-like
        Folder.
    model : Sequential
    test : Dataset
    probabilities : ndarray, shape (images, classes)

    Returns
    -------
    list of pathlib.Path
        Both, or the one that there is an image for.
    """
    wrong = mistakes(test.labels, probabilities)
    right = np.setdiff1d(np.arange(len(test)), wrong)
    doubtful = right[np.argsort(probabilities[right, test.labels[right]], kind="stable")]
    return [
        write_inside_page(
            Path(out) / name, model, test.images[chosen[0]], int(test.labels[chosen[0]]), test.class_names
        )
        for name, chosen in ((RIGHT, doubtful), (WRONG, wrong))
        if len(chosen)
    ]
