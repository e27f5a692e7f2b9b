"""Charts of results: curves, confusion matrix, ROC, reliability.

Every function returns its figure, which a notebook shows, and writes it if it is given a path, whole or not at all.
Nothing here touches matplotlib.pyplot, so no window opens, no figure stays in memory, and a program's own pyplot
figures are left alone.  Curves differ by line style and marker as well as by colour (M. Okabe and K. Ito's
colour-blind-safe set, 2008), so they survive a grey printer.

Common to all: `path` (optional) is the file to write, whose ending says the format (png, svg, pdf, jpg, whatever
matplotlib knows; ValueError for others) and is PNG if there is none; `title` (str or None) stands above the picture;
`note` (str or None) is printed small below it, and is the place to say what the data are and are not.  Charts take
`ax`, the matplotlib axes of a figure of your own, a pair where there are two; a note is then your figure's to have.
`tinycnn.scores.image_grids` draws images.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array, listed, numbers, of_class
from tinycnn.files import PathLike
from tinycnn.scores.calibration import ReliabilityCurve
from tinycnn.scores.figure import COLOURS, LINES, MARKERS, axes_for, finished, headline, plain_text, wrapped
from tinycnn.scores.intervals import wilson_interval
from tinycnn.scores.roc import RocCurve


def plot_history(
    history: Mapping[str, Sequence[float]],
    path: PathLike | None = None,
    *,
    ax: Any = None,
    title: str | None = "Training history",
    note: str | None = None,
) -> Figure:
    """Loss and accuracy over the epochs, for training and, where there is one, validation.

    Parameters
    ----------
    history : mapping of str to sequence of float
        One value per epoch under ``loss`` and, each optional, ``accuracy``, ``val_loss``, ``val_accuracy``.
        Without any accuracy (an autoencoder's history) only the loss is drawn.
    path, ax, title, note
        As in the module docstring.

    Raises
    ------
    ValueError
        If there is no loss or no epoch.

    Examples
    --------
    >>> plot_history({"loss": [1.1, 0.7, 0.5], "val_loss": [1.0, 0.8, 0.8]}).get_suptitle()
    'Training history'
    """
    of_class(history, Mapping, "history")
    series = {key: v.astype(float) for key in history if len(v := numbers(listed(history[key], key), key))}
    if "loss" not in series:
        raise ValueError(f"the history has no epoch under 'loss'; it holds { {k: len(history[k]) for k in history} }")
    panels = [("loss", "Loss (mean per image)")]
    if "accuracy" in series or "val_accuracy" in series:
        panels.append(("accuracy", "Accuracy (% of images)"))
    charts = axes_for(ax, note, (5.2 * len(panels), 4.2), len(panels), ncols=len(panels))
    for axes, (key, label) in zip(charts, panels, strict=True):
        scale = 100 if key == "accuracy" else 1
        for i, (name, who) in enumerate(((key, "training"), ("val_" + key, "validation"))):
            if name not in series:
                continue
            values = series[name] * scale
            # Markers on every epoch of a long run would merge into a thick line.
            gap = max(1, len(values) // 12)
            epochs = np.arange(1, len(values) + 1)
            axes.plot(epochs, values, **_style(i), marker=MARKERS[i], markevery=gap, markersize=5, label=who)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        longest = max(len(series[name]) for name in (key, "val_" + key) if name in series)
        axes.set_xlim(0.5, longest + 0.5)
        if key == "accuracy":
            axes.set_ylim(top=101)
        axes.set(xlabel="Epoch", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(loc="best", handlelength=3.5)
    return finished(charts[0].figure.figure, path, title, note, ax)


def plot_confusion_matrix(
    matrix: ArrayLike,
    class_names: Sequence[str],
    path: PathLike | None = None,
    *,
    ax: Axes | None = None,
    title: str | None = "Confusion matrix",
    note: str | None = None,
) -> Figure:
    """Counts and, below each, the share of its row: of the images of this class, how many were called what.

    Parameters
    ----------
    matrix : array of int, shape (classes, classes)
        Rows are true classes, columns predicted ones, as `tinycnn.scores.metrics.confusion_matrix` gives it.
    class_names : sequence of str
    path, ax, title, note
        As in the module docstring; the number of correct images follows the title.

    Raises
    ------
    ValueError
        If the matrix is not square or does not fit the names.

    Examples
    --------
    >>> plot_confusion_matrix([[26, 0], [2, 18]], ["Covid", "Normal"]).get_suptitle()
    'Confusion matrix: 44 of 46 correct (95.7 %)'
    """
    matrix, class_names = as_array(matrix, "matrix"), listed(class_names, "class_names")
    classes = len(class_names)
    if matrix.shape != (classes, classes):
        raise ValueError(f"the matrix must be {classes} x {classes} for {classes} class names, got {matrix.shape}")
    totals = matrix.sum(axis=1, keepdims=True)
    percent = 100 * matrix / np.maximum(totals, 1)  # (classes, classes)
    side = 1.05 * classes
    (axes,) = axes_for(ax, note, (side + 3.2, side + 1.8))
    # Blues gets steadily darker, so the order of the shares survives a grey printer.
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for (row, column), count in np.ndenumerate(matrix):
        share = f"{percent[row, column]:.0f} %" if totals[row, 0] else "–"
        colour = "white" if percent[row, column] > 55 else "black"
        axes.text(column, row - 0.03, f"{count}", ha="center", va="bottom", color=colour, fontsize=13)
        axes.text(column, row + 0.05, share, ha="center", va="top", color=colour, fontsize=9)
    names = [wrapped(name, 11) for name in class_names]
    axes.set_xticks(range(classes), names)
    axes.set_yticks(range(classes), [f"{name}\n(n = {n})" for name, n in zip(names, totals[:, 0], strict=True)])
    axes.set_xticks(np.arange(classes - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(classes - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    axes.set(xlabel="Predicted class", ylabel="True class (n images)")
    bar = axes.figure.figure.colorbar(image, ax=axes, shrink=0.8, format=PercentFormatter(decimals=0, symbol=" %"))
    bar.set_label("Share of the true class")
    right, images = int(np.trace(matrix)), int(matrix.sum())
    score = f": {right} of {images} correct" + (f" ({100 * right / images:.1f} %)" if images else "")
    return finished(axes.figure.figure, path, headline(title, score), note, ax)


def plot_roc(
    curves: Mapping[str, RocCurve],
    path: PathLike | None = None,
    *,
    ax: Axes | None = None,
    title: str | None = "ROC curves, each class against the rest",
    note: str | None = None,
) -> Figure:
    """ROC curves with their areas.

    Parameters
    ----------
    curves : mapping of str to RocCurve
        As `tinycnn.scores.roc.roc_curves` gives them.
    path, ax, title, note
        As in the module docstring.

    Raises
    ------
    ValueError
        If there is no curve.

    Examples
    --------
    >>> from tinycnn.scores.roc import roc_curve
    >>> plot_roc({"Covid": roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])}).get_suptitle()
    'ROC curves, each class against the rest'
    """
    of_class(curves, Mapping, "curves")
    if not curves:
        raise ValueError("there is no ROC curve to draw")
    (axes,) = axes_for(ax, note, (5.6, 5.8))
    for i, (name, curve) in enumerate(curves.items()):
        of_class(curve, RocCurve, f"the curve {name!r}")
        # Thinner and thinner, so that a curve drawn over another does not hide it.
        width = 4.0 - 2.2 * i / max(1, len(curves) - 1) if len(curves) > 1 else 2.2
        x, y, label = 100 * curve.false_positive_rate, 100 * curve.true_positive_rate, f"{name} (area {curve.auc:.3f})"
        axes.plot(x, y, **_style(i), linewidth=width, label=plain_text(label))
    _diagonal(axes, "coin toss (area 0.500)")
    axes.set(xlabel="1 − specificity (% of the other classes' images)", ylabel="Sensitivity (% of the class's images)")
    axes.set_aspect("equal")
    axes.legend(loc="lower right", handlelength=3.5)
    return finished(axes.figure.figure, path, title, note, ax)


def plot_reliability(
    curves: ReliabilityCurve | Mapping[str, ReliabilityCurve],
    path: PathLike | None = None,
    *,
    ax: Any = None,
    title: str | None = "Reliability of the probabilities",
    note: str | None = None,
) -> Figure:
    """Accuracy against confidence with Wilson 95 % bars, and below it the number of images in each bin.

    Parameters
    ----------
    curves : ReliabilityCurve, or mapping of str to ReliabilityCurve
        One curve, or several with equal bins, such as before and after temperature scaling.
    path, ax, title, note
        As in the module docstring.

    Raises
    ------
    ValueError
        If there is no curve, or the bins differ.

    Examples
    --------
    >>> from tinycnn.scores.calibration import reliability_curve
    >>> curve = reliability_curve([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], [0, 1, 1])
    >>> plot_reliability(curve).get_suptitle()
    'Reliability of the probabilities'
    """
    curves = curves if isinstance(curves, Mapping) else {"network": curves}
    for curve in curves.values():
        of_class(curve, ReliabilityCurve, "each curve")
    sizes = {name: len(curve.count) for name, curve in curves.items()}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"curves with equal bins are needed, at least one; got bins {sizes}")
    upper, lower = axes_for(ax, note, (5.6, 6.6), 2, nrows=2, sharex=True, height_ratios=(3.2, 1))
    _diagonal(upper, "confidence = accuracy")
    for i, (name, curve) in enumerate(curves.items()):
        full = curve.count > 0
        accuracy, count = curve.accuracy[full], curve.count[full]
        ends = np.array([wilson_interval(round(a * n), n) for a, n in zip(accuracy, count.tolist(), strict=True)])
        bars = np.abs(ends.T - accuracy)  # (2, filled bins)
        gap = np.sum(count * np.abs(accuracy - curve.confidence[full])) / count.sum()
        x, y, yerr = 100 * curve.confidence[full], 100 * accuracy, 100 * bars
        label = plain_text(f"{name} (mean gap {100 * gap:.1f} points)")
        upper.errorbar(x, y, yerr, **_style(i), marker=MARKERS[i % 6], capsize=3, elinewidth=1, label=label)
        width = 100 / len(curve.count) / len(curves)
        left, hatch = 100 * curve.edges[:-1] + i * width, ("", "///", "...", "xx")[i % 4]
        face: dict[str, Any] = {"color": COLOURS[i % 6], "hatch": hatch, "edgecolor": "black", "linewidth": 0.5}
        lower.bar(left, curve.count, 0.9 * width, align="edge", **face)
    upper.set_ylabel("Accuracy (% of images, 95 % interval)")
    # Outside, where it meets no title of the caller's axes: the long bars of nearly empty bins reach everywhere.
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)} if ax is None else {"loc": "best"}
    upper.legend(**place, handlelength=3.5, fontsize=9, frameon=False)
    lower.set(xlabel="Confidence (probability of the predicted class, %)", ylabel="Images", xlim=upper.get_xlim())
    lower.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return finished(upper.figure.figure, path, title, note, ax)


def _diagonal(axes, label):
    axes.plot([0, 100], [0, 100], color="0.5", linewidth=1, label=label)
    axes.set(xlim=(-3, 103), ylim=(-3, 103))  # a margin, or a perfect curve would lie hidden under the frame
    axes.grid(alpha=0.3)


def _style(i: int) -> dict[str, Any]:
    return {"color": COLOURS[i % 6], "linestyle": LINES[i % 6]}
