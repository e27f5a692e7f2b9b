"""What a notebook shows: the HTML of what is printed elsewhere, pictures, a line that redraws; in a real one, too."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_lessons import LESSONS, cells

import tinycnn
from tinycnn.gradcheck_result import GradcheckResult
from tinycnn.layers import Dense, Flatten
from tinycnn.model import Sequential
from tinycnn.notebook import html_table, in_notebook
from tinycnn.training.history import History

ROOT = Path(__file__).parents[1]
NASTY = "<script>alert('1 & 2')"
HARMLESS = "&lt;script&gt;alert(&#x27;1 &amp; 2&#x27;)"


@pytest.fixture
def kernel(monkeypatch):
    """The class of streams that a cell prints to, as if this were IPython's kernel, and what is displayed."""
    stream, shown = type("OutStream", (io.StringIO,), {}), []
    monkeypatch.setitem(sys.modules, "ipykernel.iostream", SimpleNamespace(OutStream=stream))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=SimpleNamespace(display=shown.append)))
    return stream, shown


def test_nothing_in_a_table_is_taken_for_html():
    page = html_table([NASTY], [[NASTY], [3]], [NASTY], [0], NASTY, [NASTY, "two"])
    assert page.count(HARMLESS) == 5 and "<script>" not in page
    assert page.count("<tr>") == 4 and page.count("text-align:right") == 4 and "<br>two" in page
    assert html_table(["a"], []) == (
        '<table><thead><tr><th style="text-align:left">a</th></tr></thead><tbody></tbody></table>'
    )


def named(name):
    model = Sequential([Flatten(), Dense(2, name=name)], name=name)
    model.build((2, 2, 1))
    return model


@pytest.mark.parametrize(
    "shown",
    [
        named(NASTY),
        Sequential([Dense(2, name=NASTY)]),
        tinycnn.anatomy(named(NASTY)),
        History({"loss": [1.0], NASTY: [2.0]}),
        tinycnn.classification_report([0, 1], [0, 1], ["a", NASTY]),
        GradcheckResult("", problems=[NASTY]),
    ],
    ids=["model", "unbuilt model", "anatomy", "history", "report", "gradcheck"],
)
def test_names_of_the_users_are_harmless(shown):
    page = shown._repr_html_()
    assert page.count("<table>") == 1 and "<script>" not in page and HARMLESS in page


def test_the_tables_say_what_is_printed():
    model = named("last")
    assert all(text in model._repr_html_() for text in ("last (Dense)", "(None, 4)", ">10<", "Total params: 10"))
    assert "not built" in Sequential([Dense(2)])._repr_html_()
    report = tinycnn.classification_report([0, 1, 1], [0, 1, 0], digits=3)
    rows = [row.replace("</td>", " ").split(">") for row in report._repr_html_().split("<tr>")[2:]]
    cells = [[cell.split("<")[0].strip() for cell in row] for row in rows]
    for line, row in zip(filter(str.strip, report.splitlines()[1:]), cells, strict=True):
        assert line.split() == " ".join(row).split()


def test_a_long_history_is_shown_by_its_ends():
    page = History(loss=[float(i) for i in range(100)])._repr_html_()
    assert page.count("<tr>") == 22 and ">…<" in page
    assert ">10<" in page and ">91<" in page and ">11<" not in page and ">90<" not in page[page.index("…") :][:90]
    assert History()._repr_html_().count("<tr>") == 1


def test_the_kernels_stream_is_known_and_no_other(kernel):
    stream, _ = kernel
    assert in_notebook(stream()) and not in_notebook(io.StringIO())


def test_summary_shows_the_model_in_a_notebook_and_prints_elsewhere(kernel, monkeypatch, capsys):
    stream, shown = kernel
    model = named("last")
    monkeypatch.setattr(sys, "stdout", stream())
    model.summary()
    assert shown == [model] and not sys.stdout.getvalue()
    model.summary(line_length=60)
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # as contextlib.redirect_stdout does
    model.summary()
    assert shown == [model] and "Total params" in sys.stdout.getvalue()


CELLS = [
    """
import numpy as np
import tinycnn
from tinycnn import Conv2D, Dense, Flatten, Sequential
tinycnn.set_kernels("reference")  # which compiles nothing
rng = np.random.default_rng(0)
labels = rng.integers(0, 2, 32)
images = (rng.random((32, 8, 8, 1)) + labels[:, None, None, None] / 2).astype(np.float32)
model = Sequential([Conv2D(2, 3, activation="relu"), Flatten(), Dense(2, activation="softmax")])
model
""",
    "model.build((8, 8, 1)); model.summary()",
    """
import time
class Slow(tinycnn.Callback):
    def on_train_batch_begin(self, batch):
        time.sleep(0.15)
history = model.fit((images, labels), epochs=2, callbacks=[Slow()])
history
""",
    "tinycnn.anatomy(model)",
    "tinycnn.classification_report(labels, model.predict(images).argmax(axis=1), ['a', 'b'])",
    "tinycnn.gradcheck(Dense(2), np.ones((1, 3)))",
    "tinycnn.plot_history(history)",
    "tinycnn.plot_confusion_matrix([[3, 1], [0, 4]], ['a', 'b'])",
    "tinycnn.plot_pass(model, images[0])",
    """
import matplotlib.pyplot as plt
figure, axes = plt.subplots(1, 2, figsize=(11, 5))
tinycnn.plot_confusion_matrix([[3, 1], [0, 4]], ['a', 'b'], ax=axes[0])
tinycnn.plot_roc({"a": tinycnn.roc_curve([0, 1], [0.2, 0.7])}, ax=axes[1]);
""",
    "tinycnn.plot_history(history)",  # with pyplot there, which has a way of its own to show figures
]
TABLES, PICTURES = [0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The cells above and those of a lesson, run by a kernel of its own; it stops at the first that fails."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    lesson = cells((LESSONS / "01_one_kernel.py").read_text(encoding="utf-8"))
    out = str(tmp_path_factory.mktemp("lesson"))
    sources = [*CELLS, f"import sys; sys.argv += ['--out', {out!r}]; sys.path.insert(0, {str(LESSONS)!r})"]
    made = [nbformat.v4.new_code_cell(source.strip()) for source in sources]
    for cell in lesson:
        made.append((nbformat.v4.new_markdown_cell if cell.text else nbformat.v4.new_code_cell)(cell.content))
    book = nbformat.v4.new_notebook(cells=made)
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": ROOT}}).execute()
    return [cell.outputs for cell in book.cells if cell.cell_type == "code"]


def test_a_notebook_shows_tables_and_pictures(notebook):
    for i in TABLES:
        pages = [output.data["text/html"] for output in notebook[i] if "data" in output]
        assert len(pages) == 1 and pages[0].count("<table>") == 1, CELLS[i]
    for i in PICTURES:
        pictures = [output.data["image/png"] for output in notebook[i] if "image/png" in output.get("data", {})]
        assert len(pictures) == 1 and len(pictures[0]) > 10_000, CELLS[i]


def test_a_notebook_runs_a_lesson_as_cells(notebook):
    lesson = notebook[len(CELLS) + 1 :]
    assert any("image/png" in output.get("data", {}) for outputs in lesson for output in outputs)


def test_fit_redraws_its_line_in_a_notebook(notebook):
    text = "".join(output.text for output in notebook[2] if output.get("name") == "stdout")
    for epoch, line in enumerate(text.rstrip("\n").split("\n"), 1):
        first, *_, last = line.split("\r")
        assert first.startswith(f"epoch {epoch}/2  batch 1/2") and last.startswith(f"epoch {epoch}/2  loss")
        assert len(last) >= len(first.rstrip())
