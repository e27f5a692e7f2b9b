"""Progress: one refreshing line on a terminal, few plain ones elsewhere."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tinycnn.training.objective import Totals
from tinycnn.training.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run_progress(stream, verbose=1, seconds=4.0):
    """Two epochs of three batches of 10 images, `seconds` per batch."""
    now = iter(np.arange(1000) * seconds)
    progress = Progress(verbose, stream, clock=lambda: next(now))
    progress.training = run = SimpleNamespace(epochs=2, images=30, batch_size=10, epoch=0, totals=Totals())
    for epoch in range(2):
        for batch in range(3):
            run.totals = Totals(seen=10 * (batch + 1), seconds=seconds * (batch + 1))
            progress.on_train_batch_end(batch, {"loss": 0.5, "accuracy": 0.25})
        run.epoch += 1
        progress.on_epoch_end(epoch, {"loss": 0.5, "accuracy": 0.25, "seconds": 16.0, "learning_rate": 1})
    return progress.stream.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    assert run_progress(io.StringIO(), seconds=10.0).splitlines() == [
        "epoch 1/2  batch 1/3  loss 0.5000  accuracy 0.2500",
        "epoch 1/2  batch 2/3  loss 0.5000  accuracy 0.2500  1.0 images/s  0:40 left",
        "epoch 1/2  loss 0.5000  accuracy 0.2500  16.0 s  1.0 images/s  0:45 left",
        "epoch 2/2  batch 1/3  loss 0.5000  accuracy 0.2500  0.8 images/s  0:27 left",
        "epoch 2/2  batch 2/3  loss 0.5000  accuracy 0.2500  0.8 images/s  0:12 left",
        "epoch 2/2  loss 0.5000  accuracy 0.2500  16.0 s  1.0 images/s",
    ]
    assert len(run_progress(io.StringIO(), seconds=1.0).splitlines()) == 2
    assert len(run_progress(io.StringIO(), verbose=2, seconds=100.0).splitlines()) == 2
    assert run_progress(io.StringIO(), verbose=0) == ""


def test_a_program_without_any_output_trains_all_the_same(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert run_progress(None) is not None


@pytest.mark.parametrize("kind", ["terminal", "notebook"])
def test_a_terminal_or_a_notebook_gets_one_refreshing_line(kind, monkeypatch):
    stream = Terminal()
    if kind == "notebook":
        stream = type("OutStream", (io.StringIO,), {})()
        monkeypatch.setitem(sys.modules, "ipykernel.iostream", SimpleNamespace(OutStream=type(stream)))
    text = run_progress(stream)
    assert text.count("\n") == 2 and text.endswith("\n")
    lines = text.split("\n")[0].split("\r")
    assert len(lines) == 3 and "batch 2/3" in lines[1] and lines[2].startswith("epoch 1/2  loss")
    assert len(lines[2]) >= len(lines[1].rstrip())
