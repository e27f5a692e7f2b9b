"""Charts for the page: inline SVG in the page's own colours, with a value at every point for the pointer to find."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinycnn.scores.calibration import reliability_curve
from tinycnn.scores.intervals import wilson_interval
from tinycnn.scores.roc import roc_curves
from tinycnn.study.report.page import escaped
from tinycnn.study.report.tables import best_epoch

_WIDTH, _HEIGHT = 400, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 12, 12, 38  # margins around the axes
_STYLES = 6  # colours and dashes of page.css
_MOST = 200  # points of a curve; more could not be told apart


class Axis(NamedTuple):
    """From `low` to `high`; numbers beside it are written by `form`."""

    label: str
    low: float
    high: float
    form: str = "g"


class Curve(NamedTuple):
    """A line through points, or points with bars.

    Attributes
    ----------
    name : str
        For the legend.
    points : sequence of (float, float)
    tips : sequence of str
        What each point says under the pointer.
    bars : sequence of (float, float)
        Lower and upper end of an interval at each point, which then are not joined.
    radii : sequence of float
        Of each point, if they differ.
    """

    name: str
    points: Sequence[tuple[float, float]]
    tips: Sequence[str]
    bars: Sequence[tuple[float, float]] = ()
    radii: Sequence[float] = ()


def chart(
    heading: str, x: Axis, y: Axis, curves: Sequence[Curve], mark: tuple[float, str] | None = None, diagonal: str = ""
) -> str:
    """A figure for the page.

    Parameters
    ----------
    heading : str
        Says what the vertical axis is, whose label the reader of a screen hears.
    x, y : Axis
    curves : sequence of Curve
    mark : (float, str), optional
        A vertical line, and what it marks.
    diagonal : str
        What the line from corner to corner means, if it is to be drawn.
    """

    def across(value: float) -> float:
        return round(_LEFT + (value - x.low) / (x.high - x.low) * (_WIDTH - _LEFT - _RIGHT), 1)

    def up(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (value - y.low) / (y.high - y.low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for value in ticks(y.low, y.high):
        parts.append(_line(_LEFT, up(value), right, up(value), "grid"))
        parts.append(_text(_LEFT - 6, up(value) + 4, format(value, y.form), "end"))
    for value in ticks(x.low, x.high):
        parts.append(_text(across(value), bottom + 16, format(value, x.form), "middle"))
    parts += [_line(_LEFT, bottom, right, bottom, "axis"), _text((_LEFT + right) / 2, _HEIGHT - 4, x.label, "middle")]
    keys = []
    if diagonal:
        parts.append(_line(_LEFT, bottom, right, _TOP, "aim"))
        keys.append(("aim", diagonal))
    if mark:
        parts.append(_line(across(mark[0]), _TOP, across(mark[0]), bottom, "mark"))
        keys.append(("mark", mark[1]))
    for i, curve in enumerate(curves):
        style = f"c{i % _STYLES}"
        places = [(across(a), up(b)) for a, b in curve.points]
        if curve.bars:
            parts += [
                _line(place[0], up(low), place[0], up(high), f"curve {style}")
                for place, (low, high) in zip(places, curve.bars, strict=True)
            ]
        else:
            path = " ".join(f"{a},{b}" for a, b in places)
            parts.append(f'<polyline class="curve {style}" points="{path}"/>')
        for (a, b), tip, radius in zip(places, curve.tips, curve.radii or [2.5] * len(places), strict=True):
            parts.append(f'<circle class="dot {style}" cx="{a}" cy="{b}" r="{radius:.1f}" data-tip="{escaped(tip)}"/>')
        if curve.name:
            keys.append((f"curve {style}", curve.name))
    key = '<svg class="key" viewBox="0 0 30 8" aria-hidden="true">'
    legend = "".join(f"<li>{key}{_line(1, 4, 29, 4, style)}</svg>{escaped(name)}</li>" for style, name in keys)
    return (
        f'<figure class="chart"><figcaption>{escaped(heading)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" tabindex="0" aria-label="{escaped(heading)}, '
        f'{escaped(y.label)} over {escaped(x.label)}; arrow keys read the values">{"".join(parts)}</svg>'
        f'<ul class="legend">{legend}</ul></figure>'
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, in at most `most` steps of 1, 2 or 5 times a power of ten.

    >>> ticks(0, 1), ticks(1, 12), ticks(0, 2)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [2.0, 4.0, 6.0, 8.0, 10.0, 12.0], [0.0, 0.5, 1.0, 1.5, 2.0])
    """
    step = _step(high - low, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def round_above(value: float, most: int = 6) -> float:
    """Where an axis from 0 may end that holds `value`: its next tick.

    >>> round_above(1.07), round_above(0.9), round_above(0.0)
    (1.2, 1.0, 1.0)
    """
    if value <= 0:
        return 1.0
    step = _step(value, most)
    return float(f"{math.ceil(value / step - 1e-9) * step:.12g}")


def _step(span: float, most: int) -> float:
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(step * power for step in (1, 2, 5, 10) if span / (step * power) <= most + 1e-9)


def epochs_chart(
    heading: str, series: Mapping[str, Sequence[float | None]], form: str = "g", best: tuple[int, str] | None = None
) -> str:
    """Values over the epochs, on an axis that begins at 0.

    Parameters
    ----------
    heading : str
    series : mapping of str to sequence of float
        A value per epoch; None where there is none.
    form : str
        "%" for shares, on an axis from 0 to 100; else how values are written.
    best : (int, str), optional
        An epoch, and what it is the best in.
    """
    scale, unit, written = (100, " %", ".1f") if form == "%" else (1, "", form)
    curves, longest, highest = [], 1, 0.0
    for name, values in series.items():
        known = [(epoch, scale * value) for epoch, value in enumerate(values, 1) if value is not None]
        tips = [f"epoch {epoch}{f', {name}' if name else ''}: {format(value, written)}{unit}" for epoch, value in known]
        curves.append(Curve(name, known, tips))
        longest, highest = max(longest, len(values)), max([highest, *(value for _, value in known)])
    y = Axis(heading, 0, 100 if unit else round_above(highest))
    x = Axis("epoch", 1, longest) if longest > 1 else Axis("epoch", 0, 2)
    return chart(heading, x, y, curves, best)


def history_charts(history: Mapping[str, Sequence[float | None]]) -> list[str]:
    """Loss, accuracy and learning rate of a run, with its best epoch, as far as its history has them."""
    best = best_epoch(history)
    mark = (best, f"epoch {best}: lowest validation loss") if best else None
    charts = []
    for key, heading, form in (("loss", "Loss, mean per image", ".4g"), ("accuracy", "Accuracy, % of images", "%")):
        names = {"training": key, "validation": f"val_{key}"}
        series = {name: history[column] for name, column in names.items() if history.get(column)}
        if series:
            charts.append(epochs_chart(heading, series, form, mark))
    if history.get("learning_rate"):
        charts.append(epochs_chart("Learning rate", {"": history["learning_rate"]}, ".3g", mark))
    return charts


def prediction_charts(predictions: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> list[str]:
    """ROC curves and reliability of a report's ``predictions``.

    A class without images, or with all of them, has no ROC curve; then none is drawn.
    """
    labels = np.array([class_names.index(row["true"]) for row in predictions])
    probabilities = np.array([row["probabilities"] for row in predictions])
    charts = []
    if 0 not in np.bincount(labels, minlength=len(class_names)):
        charts.append(_roc_chart(labels, probabilities, class_names))
    return [*charts, _reliability_chart(labels, probabilities)]


def _roc_chart(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> str:
    curves = []
    for name, curve in roc_curves(labels, probabilities, class_names).items():
        rates = np.stack([curve.false_positive_rate, curve.true_positive_rate], axis=1) * 100
        shown = np.unique(np.linspace(0, len(rates) - 1, min(_MOST, len(rates))).round().astype(int))
        tips = [
            f"{name}: finds {rates[i, 1]:.0f} %, calls {rates[i, 0]:.0f} % of the others so"
            + (f" (probability of at least {curve.thresholds[i]:.2f})" if i else "")
            for i in shown
        ]
        curves.append(Curve(f"{name}: area {curve.auc:.3f}", rates[shown].tolist(), tips, radii=[1.0] * len(shown)))
    x, y = Axis("others called so, % (1 - specificity)", 0, 100), Axis("found, % (sensitivity)", 0, 100)
    return chart("ROC: found, % of each class's images", x, y, curves, diagonal="coin toss: area 0.500")


def _reliability_chart(labels: np.ndarray, probabilities: np.ndarray) -> str:
    curve = reliability_curve(probabilities, labels)
    points, tips, bars, radii = [], [], [], []
    for confidence, accuracy, count in zip(curve.confidence, curve.accuracy, curve.count.tolist(), strict=True):
        if count:
            low, high = wilson_interval(round(accuracy * count), count)
            points.append((100 * confidence, 100 * accuracy))
            bars.append((100 * low, 100 * high))
            radii.append(2.5 + 6 * math.sqrt(count / len(labels)))
            tips.append(
                f"{count} images of mean confidence {confidence:.0%}: {accuracy:.0%} right "
                f"(95 % interval {low:.0%} to {high:.0%})"
            )
    curves = [Curve("95 % interval; larger points stand for more images", points, tips, bars, radii)]
    x, y = Axis("confidence: probability of the predicted class, %", 0, 100), Axis("right, %", 0, 100)
    return chart("Reliability: right, % of images", x, y, curves, diagonal="confidence as it should be")


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escaped(text)}</text>'
