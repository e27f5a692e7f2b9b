"""What the examples' command lines share: numbers that are checked, images to train on, and errors in words."""

import argparse
import codecs
import importlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tinycnn import __version__
from tinycnn.data.dataset import SCALE, Splits
from tinycnn.data.folder import load_image_folder
from tinycnn.files import PathLike, alone
from tinycnn.members import MemberError
from tinycnn.model import Sequential
from tinycnn.scores.metrics import class_labels
from tinycnn.study.films.audit import Audit, audit
from tinycnn.study.films.phantoms import chest_phantoms
from tinycnn.study.notices import SYNTHETIC

VERSION = f"tinycnn {__version__}"
EXIT_CODES = "exit codes: 0 done, 2 a wrong option, file or folder, 130 stopped by Ctrl-C"


def at_least(lowest: float, highest: float | None = None, number: type = int) -> Callable[[str], Any]:
    """A ``type`` for `argparse`: a number from `lowest` to `highest` (None: no limit).

    >>> at_least(1)("16"), at_least(0, 0.5, float)("0.2")
    (16, 0.2)
    """

    def checked(text: str) -> Any:
        value = number(text)
        if not (lowest <= value and (highest is None or value <= highest)):
            limits = f"at least {lowest}" if highest is None else f"from {lowest} to {highest}"
            raise argparse.ArgumentTypeError(f"must be {limits}, got {text}")
        return value

    checked.__name__ = "whole number" if number is int else "number"  # argparse: "invalid whole number value: 'x'"
    return checked


def example_parser(doc: str | None, examples: str, out: str) -> argparse.ArgumentParser:
    """A parser with the options for images and results, for an example with this docstring.

    Parameters
    ----------
    doc : str
        What the example does, up to how to call it.
    examples : str
        Commands that the help ends in.
    out : str
        Where results go unless ``--out`` names another folder.

    Examples
    --------
    >>> parser = example_parser("Draw a film.  ``python draw.py --help`` lists the options.", "", "runs/draw")
    >>> print(parser.description, parser.parse_args([]).out.name)
    Draw a film. draw
    """
    parser = argparse.ArgumentParser(
        description=(doc or "").split("``python")[0].rstrip(),
        epilog=f"examples:\n{examples}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_options(parser)
    parser.add_argument("--out", type=Path, default=Path(out), metavar="DIR", help=f"results ({out})")
    return parser


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` what `load_audited` reads: ``--data``, ``--phantoms`` and what follows."""
    add = parser.add_argument_group("images").add_argument
    add("--data", metavar="PATH", help="folder or zip; else $TINYCNN_DATA; else synthetic images")
    phantoms(add)
    fraction_to_test(add)
    skip_bad_files(add)


def phantoms(add: Callable[..., Any]) -> None:
    """Hand ``--phantoms`` to the ``add_argument`` of a parser or a group."""
    add("--phantoms", type=at_least(1), metavar="N", help="N synthetic training images per class, a quarter to test")


def fraction_to_test(add: Callable[..., Any]) -> None:
    """Hand ``--test-fraction`` to the ``add_argument`` of a parser or a group."""
    add(
        "--test-fraction",
        type=at_least(0.01, 0.5, float),
        default=0.2,
        metavar="F",
        help="share of each class to test on, where there are class folders but no folders train and test; to the "
        "nearest of 1/2, 1/3, 1/4, ... (0.2); near copies, and images of one patient by their names, stay together",
    )


def skip_bad_files(add: Callable[..., Any]) -> None:
    """Hand ``--skip-bad-files`` to the ``add_argument`` of a parser or a group."""
    add("--skip-bad-files", action="store_true", help="leave unreadable images out and list them, instead of stopping")


def add_executor(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option ``--executor``, for `executor_of`."""
    parser.add_argument(
        "--executor",
        default=str(min(2, os.cpu_count() or 1)),
        metavar="WHERE",
        help="who trains: a number of processes (2), or MODULE:NAME, a function that makes a "
        "concurrent.futures.Executor; the results do not depend on it",
    )


def executor_of(text: str) -> int | Callable | None:
    """What `tinycnn.members.train_members` takes as its executor: None, a number of processes, or a function.

    >>> executor_of("1"), executor_of("4"), executor_of("concurrent.futures:ThreadPoolExecutor").__name__
    (None, 4, 'ThreadPoolExecutor')
    """
    if text.isdecimal() and int(text):
        return int(text) if int(text) > 1 else None
    module, _, name = text.partition(":")
    sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name)
        if not callable(found):
            raise ValueError(f"{name} is no function")
        return found
    except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise ValueError(f"--executor must be a number of processes or MODULE:NAME, got {text!r}: {error}") from None
    finally:
        sys.path.pop()


def teller(total: int, about: Callable[[Any], str] = lambda result: "") -> Callable[[str, Any, bool], None]:
    """An ``on_member`` for `tinycnn.members.train_members` that prints each of `total` members and the time left.

    >>> tell = teller(3, lambda result: f"{result} %, ")
    >>> tell("first", 80, False)
    >>> tell("second", 90, True)
      1 of them found from an earlier run
      second: 90 %, after 0 s, about 0 s to go
    >>> tell("third", 85, True)
      third: 85 %, after 0 s, about 0 s to go
    """
    began = time.perf_counter()
    found: list[str] = []
    fresh: list[str] = []

    def tell(name: str, result: Any, is_fresh: bool) -> None:
        (fresh if is_fresh else found).append(name)
        if found and (len(fresh) == 1 or len(found) == total):
            print(f"  {len(found)} of them found from an earlier run")
        if is_fresh:
            elapsed = time.perf_counter() - began
            left = (total - len(found) - len(fresh)) * elapsed / len(fresh)
            print(f"  {name}: {about(result)}after {elapsed:.0f} s, about {left:.0f} s to go", flush=True)

    return tell


def load_audited(options: argparse.Namespace, size: int, mode: str = "RGB") -> tuple[Splits, Audit, str | None]:
    """The images that a command line asks for, what is wrong with them, and where they lie.

    Parameters
    ----------
    options : argparse.Namespace
        With those of `add_data_options`; ``data`` has folders ``train`` and ``test``, or class folders: they are cut.
    size : int
        Images become ``size x size`` pixels.
    mode : "RGB" or "L"

    Returns
    -------
    data : Splits
    found : Audit
    path : str or None
        None for synthetic images.

    Raises
    ------
    ValueError
        For ``--data`` beside ``--phantoms``, files that cannot be read, or a folder that changes while it is read.
    OSError
        If there is no such folder or file.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_data_options(parser)
    >>> data, found, path = load_audited(parser.parse_args(["--phantoms", "4"]), 32)  # doctest: +ELLIPSIS
    <BLANKLINE>
    SYNTHETIC images...
    >>> len(data.train), len(found.groups), path
    (12, 18, None)
    """
    path, phantoms = options.data, options.phantoms
    if path and phantoms:
        raise ValueError("--phantoms asks for synthetic images and --data names others: give one of them")
    path = path or (None if phantoms else os.environ.get("TINYCNN_DATA"))
    if not path:
        print(f"\n{SYNTHETIC}\nFor real ones: --data FOLDER_OR_ZIP")
        counts = {"n_train": phantoms, "n_test": max(2, phantoms // 4)} if phantoms else {}
        data = chest_phantoms(size=size, seed=0, mode=mode, **counts)
        return data, audit(data), None
    print(f"\nReading {path} ...")
    on_error = "skip" if options.skip_bad_files else "raise"
    data = load_image_folder(path, size, mode, on_error=on_error, validation_split=options.test_fraction)
    for bad in data.skipped:
        print(f"  left out {bad.path}: {bad.reason}")
    assert data.test is not None
    cut = not data.train.paths[0].startswith("train/")
    found = audit(path, held_out=data.test.paths if cut else ())
    if found.paths != [*data.train.paths, *data.test.paths]:
        raise ValueError(f"{path} holds images that can be audited but not loaded, or changed meanwhile; repair them")
    if cut:
        print(
            f"It has no folders train and test and so is cut, each class alike: {len(data.train)} images to train on, "
            f"{len(data.test)} to test on (--test-fraction {options.test_fraction:g})."
        )
        named = f"and so do images of one patient, whom {len(found.patients)} file names tell" if found.patients else ""
        print(f"Near copies stay together ({len(found.pairs)} pairs), {named or 'no file name tells of a patient'}.")
    return data, found, path


def model_of_images(path: PathLike) -> tuple[Sequential, tuple[int, int], str, list[str]]:
    """A saved model, and what its images are: height and width, mode ("RGB" or "L"), and the names of its classes.

    What its file does not say of them is added to its ``metadata``: numbers for names, images squashed to their size.

    Raises
    ------
    ValueError
        If the file is no model, or one that does not sort grey or RGB images into classes by a softmax.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from tinycnn.models.report_cnn import report_cnn
    >>> model = report_cnn(classes=2)
    >>> _ = model.build((32, 48, 3))
    >>> model.save(tempfile.gettempdir() + "/model.npz")
    >>> model_of_images(tempfile.gettempdir() + "/model.npz")[1:]
    ((32, 48), 'RGB', ['0', '1'])
    """
    model = saved_model(path)
    shape, outputs = tuple(model.input_shape), tuple(model.output_shape)
    if len(shape) != 3 or shape[2] not in (1, 3) or len(outputs) != 1 or not model.ends_in_softmax:
        raise ValueError(
            f"{path} takes {shape} and gives {outputs}; a model is needed that takes images (height, width, 1 or 3) "
            "and ends in a softmax over its classes"
        )
    names = model.metadata.get("class_names")
    if names is not None and not isinstance(names, list):
        raise ValueError(f"{path}: its metadata's class_names must be a list, got {names!r}")
    names = class_labels(names, outputs[0])
    # Models that were saved before `fit` kept such facts were fitted on images as `load_image_folder` gives them.
    model.metadata = {"preprocessing": {"keep_aspect": False, "scale": SCALE}, **model.metadata, "class_names": names}
    return model, shape[:2], "L" if shape[2] == 1 else "RGB", names


def saved_model(path: PathLike) -> Sequential:
    """The model in the file at `path`; for a folder, the error names the model's file in it.

    Raises
    ------
    ValueError, OSError
        As of `Sequential.load`.
    """
    if Path(path).is_dir():
        found = sorted(Path(path).glob("*.npz"), key=lambda file: (file.name != "model.npz", file))
        hint = f"name a file in it, such as {found[0]}" if found else "and no .npz is in it"
        raise ValueError(f"{path} is a folder, where the file of a model is needed; {hint}")
    return Sequential.load(path)


def answer(run: Callable[[Any], int], options: Any, stopped: str, memory: str, folder: PathLike | None = None) -> int:
    """The exit code of ``run(options)``: its own, 130 after Ctrl-C, or 2 after an error said in a line.

    Parameters
    ----------
    run : callable
    options : argparse.Namespace
    stopped, memory : str
        What to say after Ctrl-C, and what to try if memory does not suffice.
    folder : path-like, optional
        Where results go, which no other run may write to meanwhile.
    """
    with _streams():
        try:
            with nullcontext() if folder is None else alone(folder):
                return run(options)
        except KeyboardInterrupt:
            print(f"\nstopped; {stopped}")
            return 130
        except MemoryError:
            print(f"error: not enough memory; try {memory}", file=sys.stderr)
        except (OSError, ValueError, FloatingPointError, ImportError, MemberError) as error:
            print(f"error: {in_words(error)}", file=sys.stderr)
        return 2


class _Terminal(io.TextIOWrapper):
    """A terminal that shows letters alone: what else names of files and classes hold could steer it."""

    def write(self, text: str) -> int:
        return super().write("".join(c if c.isprintable() or c in "\n\r\t" else "?" for c in text))


def _as_bytes(error: UnicodeError) -> tuple[bytes, int]:
    """What stands for letters that the output's encoding lacks: the bytes of a name, "?" for others."""
    assert isinstance(error, UnicodeEncodeError)
    letters = map(ord, error.object[error.start : error.end])
    return bytes(n - 0xDC00 if 0xDC80 <= n <= 0xDCFF else ord("?") for n in letters), error.end


codecs.register_error("tinycnn", _as_bytes)


@contextmanager
def _streams() -> Iterator[None]:
    """For the time of a ``with`` block any text can be printed: to a terminal its letters, elsewhere names' bytes.

    Where a stream is closed (``>&-``, Windows without a console) what is printed goes nowhere.
    """
    before = sys.stdout, sys.stderr
    made: list[_Terminal] = []
    for name, stream in zip(("stdout", "stderr"), before, strict=True):
        if stream is None:
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper) and stream.isatty():
            stream.flush()
            made.append(_Terminal(stream.buffer, stream.encoding, "replace", line_buffering=True))
            setattr(sys, name, made[-1])
        elif isinstance(stream, io.TextIOWrapper) and stream is sys.stdout:
            stream.reconfigure(errors="tinycnn")
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for terminal in made:
            terminal.flush()
            terminal.detach()  # else it would close the stream's buffer


def in_words(error: Exception) -> str:
    """An error as the user of a command, not of the library, needs it.

    >>> in_words(FileNotFoundError(2, "No such file or directory", "x.png"))
    'No such file or directory: x.png'
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    text = str(error).replace('on_error="skip"', "--skip-bad-files")
    return text.replace("; name other split folders with splits=(...)", "")
