"""What the pictures say: lines, texts and images of the figure, and the file on the disk."""

import subprocess
import sys

import numpy as np
import pytest
from drawings import check_png
from matplotlib.figure import Figure
from matplotlib.text import Text

from tinycnn.scores import image_grids, plots
from tinycnn.scores.calibration import apply_temperature, reliability_curve
from tinycnn.scores.roc import roc_curves

NAMES = ("Covid", "Normal", "Viral Pneumonia")
NOTE = "Synthetic phantoms. For research and teaching only, never a diagnosis."


@pytest.fixture
def drawn(monkeypatch):
    """Figures saved during the test, in order."""
    figures, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))[1])
    return figures


def texts(figure):
    return [text.get_text().replace("\n", " ") for text in figure.findobj(Text) if text.get_text()]


def history(epochs, *keys):
    rng = np.random.default_rng(epochs)
    return {key: list(rng.random(epochs)) for key in keys}


@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_history_draws_every_epoch(epochs, drawn, tmp_path):
    values = history(epochs, "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    plots.plot_history(values, tmp_path / "history.png", note=NOTE)
    check_png(tmp_path / "history.png", tmp_path)
    loss, accuracy = drawn[0].axes
    for axes, key, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        lines = {line.get_label(): line for line in axes.lines}
        np.testing.assert_array_equal(lines["training"].get_xdata(), np.arange(1, epochs + 1))
        np.testing.assert_allclose(lines["training"].get_ydata(), np.multiply(values[key], scale))
        np.testing.assert_allclose(lines["validation"].get_ydata(), np.multiply(values["val_" + key], scale))
        assert lines["training"].get_linestyle() != lines["validation"].get_linestyle()
        assert lines["training"].get_marker() != lines["validation"].get_marker()
        ticks = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
        assert ticks and all(tick == int(tick) >= 1 for tick in ticks)
        assert axes.get_xlabel() == "Epoch"
    assert "%" in accuracy.get_ylabel()
    assert {"Training history", NOTE} <= set(texts(drawn[0]))


def test_history_without_validation_or_without_accuracy(drawn, tmp_path):
    plots.plot_history(history(3, "loss", "accuracy") | {"val_loss": []}, tmp_path / "a.png")
    plots.plot_history(history(3, "loss", "val_loss"), tmp_path / "b.png", title="Autoencoder")
    assert [len(axes.lines) for axes in drawn[0].axes] == [1, 1]
    assert [len(axes.lines) for axes in drawn[1].axes] == [2]
    assert "Autoencoder" in texts(drawn[1])


def test_history_of_nothing_is_an_error_and_leaves_no_file(tmp_path):
    for empty in ({}, {"loss": []}, {"val_loss": [1.0]}):
        with pytest.raises(ValueError, match="no epoch under 'loss'"):
            plots.plot_history(empty, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_confusion_matrix_prints_counts_and_row_percent(drawn, tmp_path):
    plots.plot_confusion_matrix([[23, 2, 1], [0, 16, 4], [0, 0, 0]], NAMES, tmp_path / "m.png", note=NOTE)
    check_png(tmp_path / "m.png", tmp_path)
    cells = [text.get_text() for text in drawn[0].axes[0].texts]
    assert cells == ["23", "88 %", "2", "8 %", "1", "4 %", "0", "0 %", "16", "80 %", "4", "20 %"] + ["0", "–"] * 3
    shown = drawn[0].axes[0].images[0].get_array()
    np.testing.assert_allclose(shown[1], [0, 80, 20])
    said = texts(drawn[0])
    assert {"Viral Pneumonia", "Viral Pneumonia (n = 0)", "Covid (n = 26)", "Predicted class", NOTE} <= set(said)
    assert "Confusion matrix: 39 of 46 correct (84.8 %)" in said


def test_confusion_matrix_text_stands_out_from_its_cell(drawn, tmp_path):
    plots.plot_confusion_matrix([[9, 1], [5, 5]], ["a", "b"], tmp_path / "m.png")
    axes = drawn[0].axes[0]
    for i, text in enumerate(axes.texts[::2]):
        red, green, blue, _ = axes.images[0].to_rgba(axes.images[0].get_array().ravel()[i])
        luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
        contrast = 1.05 / (luminance + 0.05) if text.get_color() == "white" else (luminance + 0.05) / 0.05
        assert contrast > 4.5, "WCAG 2.1's threshold for text"


def test_confusion_matrix_must_fit(tmp_path):
    with pytest.raises(ValueError, match=r"3 x 3 for 3 class names, got \(2, 2\)"):
        plots.plot_confusion_matrix(np.eye(2), NAMES, tmp_path / "m.png")
    plots.plot_confusion_matrix(np.zeros((2, 2), int), ["a", "b"], tmp_path / "m.png")


def scored(n=66, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    logits = rng.normal(0, 1.5, (n, 3)) + 3 * np.eye(3)[labels]
    return labels, logits


def test_roc_curves_in_percent_with_areas(drawn, tmp_path):
    labels, logits = scored()
    curves = roc_curves(labels, logits, NAMES)
    plots.plot_roc(curves, tmp_path / "roc.png", note=NOTE)
    check_png(tmp_path / "roc.png", tmp_path)
    *lines, diagonal = drawn[0].axes[0].lines
    for line, (name, curve) in zip(lines, curves.items(), strict=True):
        np.testing.assert_allclose(line.get_xdata(), 100 * curve.false_positive_rate)
        np.testing.assert_allclose(line.get_ydata(), 100 * curve.true_positive_rate)
        assert line.get_label() == f"{name} (area {curve.auc:.3f})"
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    assert len({str(line.get_linestyle()) + str(line.get_linewidth()) for line in lines}) == 3
    plots.plot_roc({f"class {i}": curve for i, curve in enumerate(list(curves.values()) * 3)}, tmp_path / "roc.png")
    with pytest.raises(ValueError, match="no ROC curve"):
        plots.plot_roc({}, tmp_path / "roc.png")


def test_reliability_points_bars_and_counts(drawn, tmp_path):
    labels, logits = scored()
    curves = {f"T = {t}": reliability_curve(apply_temperature(logits, t), labels) for t in (1, 2)}
    plots.plot_reliability(curves, tmp_path / "r.png", note=NOTE)
    check_png(tmp_path / "r.png", tmp_path)
    upper, lower = drawn[0].axes
    for container, curve in zip(upper.containers, curves.values(), strict=True):
        full = curve.count > 0
        np.testing.assert_allclose(container.lines[0].get_xdata(), 100 * curve.confidence[full])
        np.testing.assert_allclose(container.lines[0].get_ydata(), 100 * curve.accuracy[full])
        ends = np.array(container.lines[2][0].get_segments())[:, :, 1]
        assert (ends[:, 0] <= 100 * curve.accuracy[full]).all() and (ends[:, 1] >= 100 * curve.accuracy[full]).all()
        assert ends.min() >= -1e-9 and ends.max() <= 100 + 1e-9
    for container, curve in zip(lower.containers, curves.values(), strict=True):
        assert [bar.get_height() for bar in container] == curve.count.tolist()
    plots.plot_reliability(curves["T = 1"], tmp_path / "r.png")
    with pytest.raises(ValueError, match="equal bins .* 'b': 5"):
        plots.plot_reliability(curves | {"b": reliability_curve(np.eye(3), [0, 1, 2], 5)}, tmp_path / "r.png")


def test_dollar_signs_and_long_notes_are_plain_text(drawn, tmp_path):
    plots.plot_confusion_matrix(np.eye(2, dtype=int), ["a$_1$", "b$"], tmp_path / "m.png", note="word " * 60)
    axes = drawn[0].axes[0]
    assert [tick.get_text().replace("\\$", "$") for tick in axes.get_xticklabels()] == ["a$_1$", "b$"]
    drawn[0].draw_without_rendering()
    note = next(text for text in drawn[0].findobj(Text) if text.get_text().startswith("word"))
    box = note.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= drawn[0].bbox.width and box.y0 >= 0


PLOTS = {
    plots.plot_history: ({"loss": [1.0, 0.5]},),
    plots.plot_confusion_matrix: ([[2, 0], [1, 3]], ["a", "b"]),
    image_grids.plot_sample_grid: (np.zeros((2, 4, 4, 1), np.uint8), [0, 1], ["a", "b"]),
    image_grids.plot_image_rows: ({"row": np.zeros((2, 4, 4))},),
    plots.plot_roc: (roc_curves([0, 1, 1], [[0.9, 0.1], [0.3, 0.7], [0.4, 0.6]]),),
    plots.plot_reliability: (reliability_curve([[0.9, 0.1], [0.3, 0.7]], [0, 1]),),
}


@pytest.mark.parametrize("plot", PLOTS)
def test_every_plot_is_saved_as_its_name_says_and_a_title_of_none_is_none(plot, tmp_path, drawn):
    figure = plot(*PLOTS[plot], tmp_path / "a.svg", title=None)
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")
    assert figure is drawn[-1] and not figure.get_suptitle()
    with pytest.raises(ValueError, match="no format of pictures"):
        plot(*PLOTS[plot], tmp_path / "a.doc")


@pytest.mark.parametrize("plot", [plots.plot_confusion_matrix, plots.plot_roc])
def test_one_chart_is_drawn_in_axes_of_the_callers(plot, tmp_path):
    figure = Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    assert plot(*PLOTS[plot], tmp_path / "two.png", ax=left) is figure
    assert left.get_title() and left.get_xlabel() and not right.has_data() and not figure.get_suptitle()
    assert list(tmp_path.iterdir()) == [tmp_path / "two.png"]
    part = figure.subfigures(1, 1)
    assert plot(*PLOTS[plot], ax=part.subplots()) is figure, "axes of a part of a figure"
    with pytest.raises(ValueError, match=r"with ax=, give it to your own, by figure\.supxlabel"):
        plot(*PLOTS[plot], ax=left, note=NOTE)
    with pytest.raises(ValueError, match="ax must be of class Axes"):
        plot(*PLOTS[plot], ax=figure)


def test_two_charts_are_drawn_in_a_pair_of_axes():
    figure = Figure(figsize=(9, 7))
    pairs = figure.subplots(2, 2)
    assert plots.plot_history(history(3, "loss", "accuracy"), ax=pairs[0]) is figure
    assert plots.plot_reliability(*PLOTS[plots.plot_reliability], ax=list(pairs[1])) is figure
    assert [axes.get_title().replace("\n", " ").split(" ")[0] for axes in pairs.flat] == [
        "Training",
        "",
        "Reliability",
        "",
    ]
    assert [axes.get_ylabel().split()[0] for axes in pairs.flat] == ["Loss", "Accuracy", "Accuracy", "Images"]
    assert pairs[1, 0].get_xlim() == pairs[1, 1].get_xlim()
    plots.plot_history({"loss": [2.0]}, ax=pairs[0, 1], title=None)
    with pytest.raises(ValueError, match="there are 2 charts to draw, so ax must be 2 axes, got 1"):
        plots.plot_history(history(3, "loss", "accuracy"), ax=pairs[0, 0])


@pytest.mark.parametrize("plot", PLOTS)
def test_without_a_path_nothing_is_written(plot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figure = plot(*PLOTS[plot], note=NOTE)
    assert NOTE.split()[0] in " ".join(texts(figure)) and not list(tmp_path.iterdir())


def test_pictures_replace_their_files_whole(tmp_path, monkeypatch):
    path = tmp_path / "sub" / "curve"
    plots.plot_history(history(2, "loss"), str(path))
    before = path.read_bytes()
    assert before.startswith(b"\x89PNG")
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OSError, match="curve: disk full"):
        plots.plot_history(history(3, "loss"), path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_pyplot_is_never_imported(tmp_path):
    program = (
        "import sys; from tinycnn.scores import plots; "
        f"plots.plot_history({{'loss': [1.0]}}, {str(tmp_path / 'h.png')!r}); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
