"""Numbers, images and errors of a command line; the examples' own tests see them at work."""

import argparse
import errno
import io
import os
import sys

import numpy as np
import pytest

from tinycnn.__main__ import main
from tinycnn.data import load_image_folder
from tinycnn.study.command_line import add_data_options, answer, at_least, in_words, load_audited


def parser_of(**options):
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", **options)
    add_data_options(parser)
    return parser


@pytest.mark.parametrize(
    "kind, text, words",
    [
        (at_least(1), "0", "must be at least 1, got 0"),
        (at_least(1), "x", "invalid whole number value: 'x'"),
        (at_least(0, 0.5, float), "0.7", "must be from 0 to 0.5, got 0.7"),
        (at_least(0, 0.5, float), "nan", "must be from 0 to 0.5, got nan"),
    ],
)
def test_numbers_out_of_range(kind, text, words, capsys):
    with pytest.raises(SystemExit):
        parser_of(type=kind).parse_args(["--n", text])
    assert words in capsys.readouterr().err


def test_numbers_in_range():
    assert at_least(1)("1") == 1 and at_least(0, 0.5, float)("0.5") == 0.5


def test_asking_for_synthetic_images_beats_the_environment(monkeypatch):
    monkeypatch.setenv("TINYCNN_DATA", "/no/such/folder")
    options = parser_of().parse_args(["--phantoms", "4"])
    data, found, path = load_audited(options, 16, "L")
    assert path is None and data.train.images.shape == (12, 16, 16, 1) and len(data.test) == 6
    assert len(found.groups) == 18
    with pytest.raises(OSError, match="/no/such/folder"):
        load_audited(parser_of().parse_args([]), 16)


@pytest.mark.parametrize(
    "error, code, words",
    [
        (KeyboardInterrupt(), 130, "stopped; go on"),
        (MemoryError(), 2, "try less"),
        (OSError(errno.ENOSPC, "No space left on device", "out.npz"), 2, "error: No space left on device: out.npz"),
        (ValueError('pass on_error="skip"'), 2, "error: pass --skip-bad-files"),
        (FloatingPointError("loss is nan"), 2, "error: loss is nan"),
    ],
)
def test_errors_in_words(error, code, words, capsys):
    def run(options):
        raise error

    assert answer(run, None, stopped="go on", memory="less") == code
    assert words in "".join(capsys.readouterr())


def test_no_error_speaks_of_the_library(tmp_path):
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match="splits=") as caught:
        load_image_folder(tmp_path, 8)
    assert in_words(caught.value).endswith(
        " Expected split/class/image files, or class/image files alone in the folder that is given"
    )


@pytest.mark.parametrize("command", [["summary"], ["evaluate", "x"], ["look", "x.png"]])
def test_a_folder_for_a_model_is_told_what_file_to_name(command, tmp_path, capsys):
    name, *rest = command
    assert main([name, str(tmp_path), *rest]) == 2
    assert "is a folder, where the file of a model is needed; and no .npz" in capsys.readouterr().err
    for file in ("checkpoint.npz", "model.npz"):
        (tmp_path / file).write_bytes(b"")
    assert main([name, str(tmp_path), *rest]) == 2
    assert f"such as {tmp_path / 'model.npz'}\n" in capsys.readouterr().err


STEERS = "a\x1b[31mred\x9b2J caf\udce9 \x07naïve\r"


def prints(options):
    print(STEERS)
    raise ValueError(f"{STEERS} is no image")


@pytest.mark.skipif(os.name == "nt", reason="no such terminals there")
def test_no_name_steers_the_terminal(monkeypatch):
    reading, writing = os.openpty()
    with open(writing, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        assert answer(prints, None, "", "") == 2
        assert sys.stdout is stream and not stream.closed
        shown = b""
        while not shown.endswith(b"image\r\n"):  # what was written may come in parts
            shown += os.read(reading, 10_000)
        assert shown.decode() == "a?[31mred?2J caf? ?naïve\r\r\nerror: a?[31mred?2J caf? ?naïve\r is no image\r\n"
    os.close(reading)


def test_a_name_that_is_no_utf8_is_printed_as_its_bytes_where_it_is_no_terminal(monkeypatch, tmp_path):
    with open(tmp_path / "out.txt", "w", encoding="utf-8", errors="strict", newline="") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert answer(print, STEERS, "", "") is None
    assert (tmp_path / "out.txt").read_bytes() == STEERS.encode("utf-8", "surrogateescape") + b"\n"


def test_a_narrow_encoding_and_closed_streams_stop_nothing(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii", newline=""))
    assert answer(lambda text: print(text, flush=True), "│ é \udce9", "", "") is None
    assert written.getvalue() == b"? ? \xe9\n"
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert answer(lambda text: int(sys.stdout.isatty() or len(text)), "abc", "", "") == 3
    assert answer(prints, None, "", "") == 2 and sys.stdout is None


def test_what_is_not_foreseen_is_not_hidden():
    def run(options):
        return np.zeros(2)[5]

    with pytest.raises(IndexError):
        answer(run, None, "", "")
    assert answer(lambda options: options, 7, "", "") == 7
