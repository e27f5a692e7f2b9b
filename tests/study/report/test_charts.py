"""Charts: every point where its axes say, axes that do not exaggerate, names that stay text."""

import re

import numpy as np
import pytest
from runs import Page

from tinycnn.scores.calibration import reliability_curve
from tinycnn.scores.roc import roc_curves
from tinycnn.study.report.charts import (
    Axis,
    Curve,
    chart,
    epochs_chart,
    history_charts,
    prediction_charts,
    round_above,
    ticks,
)

HISTORY = {
    "loss": [1.1, 0.5, 0.2],
    "val_loss": [1.0, 0.6, 0.7],
    "accuracy": [0.4, 0.8, 0.9],
    "learning_rate": [1e-3] * 3,
}


def scales(svg):
    """What the axes say a place stands for: functions of x and of y, from the two outermost numbers beside each."""
    texts = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([-\d.e]+)</text>', svg)
    beside = [(float(y) - 4, float(text)) for _, y, anchor, text in texts if anchor == "end"]
    below = [(float(x), float(text)) for x, _, anchor, text in texts if anchor == "middle"]

    def scale(marks):
        (a, low), (b, high) = min(marks), max(marks)
        return lambda place: low + (place - a) / (b - a) * (high - low)

    return scale(below), scale(beside)


def points(svg, style="c0"):
    """Of a curve, as read from the picture."""
    to_x, to_y = scales(svg)
    dots = re.findall(rf'<circle class="dot {style}" cx="([\d.]+)" cy="([\d.]+)"', svg)
    return [(to_x(float(x)), to_y(float(y))) for x, y in dots]


def test_points_stand_where_the_axes_say():
    svg = chart("h", Axis("x", 0, 4), Axis("y", -1, 3), [Curve("a", [(0.5, -1), (4, 3), (2, 1.25)], ["i", "j", "k"])])
    assert np.allclose(points(svg), [(0.5, -1), (4, 3), (2, 1.25)], atol=0.02)
    assert re.findall('data-tip="(.)"', svg) == ["i", "j", "k"]
    line = re.search('<polyline class="curve c0" points="(.*?)"', svg)[1]
    assert line.split() == [f"{x},{y}" for x, y in re.findall('cx="(.*?)" cy="(.*?)"', svg)]


def test_curves_of_a_run_begin_at_zero_and_show_every_epoch():
    loss, accuracy, rate = history_charts(HISTORY)
    for svg, key, scale, style in (
        (loss, "loss", 1, "c0"),
        (loss, "val_loss", 1, "c1"),
        (accuracy, "accuracy", 100, "c0"),
        (rate, "learning_rate", 1, "c0"),
    ):
        epochs, values = zip(*points(svg, style), strict=True)
        assert np.allclose(epochs, [1, 2, 3], atol=0.02)
        assert np.allclose(values, np.multiply(scale, HISTORY[key]), rtol=0.02, atol=1e-6)
    for svg, top in ((loss, 1.2), (accuracy, 100), (rate, 1e-3)):
        _, to_y = scales(svg)
        bottom = float(re.search('class="axis" x1=".*?" y1="(.*?)"', svg)[1])
        assert abs(to_y(bottom)) < 1e-6 * top and to_y(12) == pytest.approx(top, rel=1e-3)


def test_the_best_epoch_is_marked_where_there_is_validation():
    for svg in history_charts(HISTORY):
        place = float(re.search('class="mark" x1="(.*?)"', svg)[1])
        assert scales(svg)[0](place) == pytest.approx(2, abs=0.02) and "epoch 2: lowest validation loss" in svg
    assert "mark" not in "".join(history_charts({"loss": [2, 1]}))


def test_epochs_without_a_value_are_left_out():
    assert len(points(epochs_chart("Loss", {"training": [1.0, None, 0.5]}))) == 2
    assert history_charts({}) == [] and "circle" in history_charts({"loss": [0.5]})[0]


def test_curves_of_predictions_are_those_of_the_scores():
    rng = np.random.default_rng(0)
    labels, probabilities, names = np.arange(40) % 2, rng.dirichlet([1, 1], 40), ["cat", "dog"]
    rows = [
        {"true": names[label], "probabilities": row.tolist()} for label, row in zip(labels, probabilities, strict=True)
    ]
    roc, reliability = prediction_charts(rows, names)
    for i, (name, curve) in enumerate(roc_curves(labels, probabilities, names).items()):
        rates = np.stack([curve.false_positive_rate, curve.true_positive_rate], axis=1)
        assert np.allclose(points(roc, f"c{i}"), 100 * rates, atol=0.2) and f"{name}: area {curve.auc:.3f}" in roc
    curve = reliability_curve(probabilities, labels)
    full = curve.count > 0
    expected = np.stack([curve.confidence[full], curve.accuracy[full]], axis=1)
    assert np.allclose(points(reliability), 100 * expected, atol=0.2)
    assert [int(n) for n in re.findall(r'data-tip="(\d+) images', reliability)] == curve.count[full].tolist()
    assert len(prediction_charts(rows[::2], names)) == 1  # one class alone has no ROC curve


def test_a_long_roc_curve_is_thinned_out():
    labels, scores = np.arange(2000) % 2, np.random.default_rng(0).random(2000)
    rows = [{"true": str(label), "probabilities": [1 - p, p]} for label, p in zip(labels.tolist(), scores, strict=True)]
    drawn = points(prediction_charts(rows, ["0", "1"])[0])
    assert len(drawn) == 200 and np.allclose([drawn[0], drawn[-1]], [(0, 0), (100, 100)], atol=0.2)


def test_names_stay_text():
    attack = '"><script>alert(1)</script>\n<b>'
    axis = Axis(attack, 0, 1)
    svg = chart(attack, axis, axis, [Curve(attack, [(0, 0)], [attack])], (0.5, attack), attack)
    assert {"script", "b"}.isdisjoint(Page(svg).tags) and "\n" not in svg


def test_ticks_are_round_and_within():
    for low, high in [(0, 1), (0, 0.001), (1, 300), (0, 1e6), (0.5, 1.5), (0, 3.7e-9)]:
        marks = ticks(low, high)
        assert 1 <= len(marks) <= 7 and low - 1e-12 <= marks[0] and marks[-1] <= high * (1 + 1e-9)
        assert np.allclose(np.diff(marks), np.diff(marks)[:1])
    for value in (1e-9, 0.3, 1, 1.0001, 99, 12345):
        assert value <= round_above(value) * (1 + 1e-9) <= 2 * value
