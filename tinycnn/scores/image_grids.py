"""Pictures of images: what a network called them, and the same ones at several stages.

`path`, `title` and `note` as in `tinycnn.scores.plots`.  A grid has as many axes as it takes, and so is a figure of its
own.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array, listed, numbers, of_class, positive_int
from tinycnn.files import PathLike
from tinycnn.scores.figure import WRONG, Picture, finished, headline, plain_text, wrapped
from tinycnn.scores.metrics import label_vector


def plot_sample_grid(
    images: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    path: PathLike | None = None,
    *,
    n: int = 16,
    predictions: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
    title: str | None = "Sample images",
    note: str | None = None,
) -> Figure:
    """Images under their class names and, if given, under what the network called them.

    A wrong prediction is marked by a cross and a thick frame.

    Parameters
    ----------
    images : array, shape (images, height, width, 1 or 3) or (images, height, width)
        uint8, or float from 0 to 1.
    labels : sequence of int, shape (images,)
    class_names : sequence of str
    n : int
        Show at most so many, spread evenly over `images`, so that a set sorted by class shows all classes.
    predictions : sequence of int, shape (images,), optional
    probabilities : array of float, shape (images, classes), optional
        Adds the probability of the prediction; without `predictions` the largest one is the prediction.
    path, title, note
        As in the module docstring.

    Raises
    ------
    ValueError
        If there is no image, sizes do not fit, or a label has no name.

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    >>> len(plot_sample_grid(images, [0, 1, 1], ["Covid", "Normal"]).axes)
    4
    """
    class_names = listed(class_names, "class_names")
    pictures, truth = _pictures(images, "images"), label_vector(labels, "labels", len(class_names))
    n, shares = positive_int(n, "n"), None if probabilities is None else numbers(probabilities, "probabilities")
    if shares is not None and (shares.ndim != 2 or not shares.shape[1]):
        raise ValueError(f"probabilities must be of shape (images, classes), got {shares.shape}")
    called = shares.argmax(axis=1) if predictions is None and shares is not None else predictions
    called = None if called is None else label_vector(called, "predictions", len(class_names))
    sizes = {"images": pictures, "labels": truth, "predictions": called, "probabilities": shares}
    counts = {name: len(array) for name, array in sizes.items() if array is not None}
    if len(set(counts.values())) > 1:
        raise ValueError(f"one label (and prediction) per image is needed, and n of at least 1: got {counts}, n = {n}")
    shown = np.unique(np.linspace(0, len(pictures) - 1, min(n, len(pictures))).round().astype(int))
    columns = int(np.ceil(np.sqrt(len(shown))))
    rows = -(-len(shown) // columns)
    line = 0.14 if called is None else 0.28
    figure = Picture(figsize=(max(4.0, 2.0 * columns), (2.0 + line) * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.axis("off")
    for axes, i in zip(grid.flat, shown, strict=False):
        _show(axes, pictures[i])
        text, wrong = str(class_names[truth[i]]), called is not None and called[i] != truth[i]
        if called is not None:
            sure = "" if shares is None else f" {100 * shares[i][called[i]]:.0f} %"
            text += f"\n{'✗' if wrong else '✓'} {class_names[called[i]]}{sure}"
        axes.set_title(plain_text(text), fontsize=8, fontweight="bold" if wrong else "normal", pad=4)
        axes.spines[:].set(visible=wrong, color=WRONG, linewidth=3)
    legend = "" if called is None else "; first line: true class, second: prediction"
    return finished(figure, path, headline(title, legend), note)


def plot_image_rows(
    rows: Mapping[str, ArrayLike],
    path: PathLike | None = None,
    *,
    n: int = 6,
    title: str | None = None,
    note: str | None = None,
) -> Figure:
    """The same images at several stages, one stage per row: original, noisy, denoised.

    Parameters
    ----------
    rows : mapping of str to array, shape (images, height, width, 1 or 3) or (images, height, width)
        Title of each row and its images: uint8, or float from 0 to 1 (values beyond are clipped).
    n : int
        Show the first so many of each row.
    path, title, note
        As in the module docstring.

    Raises
    ------
    ValueError
        If there is no row, or rows differ in their number of images.

    Examples
    --------
    >>> original = np.random.default_rng(0).random((2, 8, 8, 1))
    >>> len(plot_image_rows({"original": original, "noisy": original + 0.1}).axes)
    4
    """
    of_class(rows, Mapping, "rows")
    n = positive_int(n, "n")
    stages = {name: _pictures(images, f"row '{name}'") for name, images in rows.items()}
    counts = {name: len(images) for name, images in stages.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"rows must hold equally many images, and n be at least 1: got {counts}, n = {n}")
    columns = min(n, next(iter(counts.values())))
    figure = Picture(figsize=(1.8 * columns + 0.8, 1.85 * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(grid, stages.items(), strict=True):
        for axes, image in zip(line, images[:columns], strict=True):
            _show(axes, image)
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(wrapped(name, 18), fontsize=10)
    return finished(figure, path, title, note)


def _show(axes, image):
    axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
    axes.set(xticks=[], yticks=[])


def _pictures(images, what):
    """Images as uint8 or as float clipped to 0..1, without a channel axis if they are grey."""
    images = as_array(images, what)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3) or not len(images):
        raise ValueError(
            f"{what}: at least one image is needed, shape (images, height, width, 1 or 3), got {images.shape}"
        )
    return images if images.dtype == np.uint8 else np.clip(images.astype(float), 0, 1)
