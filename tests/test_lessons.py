"""The course runs, prints what its text says, saves the pictures that it shows, and keeps its limits."""

import contextlib
import importlib.util
import io
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

LESSONS = Path(__file__).parents[1] / "examples" / "lessons"
FILES = sorted(LESSONS.glob("[0-9]*.py"))
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
SECONDS = 20


class Cell(NamedTuple):
    text: bool
    line: int  # of its first line in the file
    content: str


def cells(source):
    """What ``# %%`` and ``# %% [markdown]`` divide a lesson into; of text without its comment signs."""
    found, lines = [], source.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("# %%")] + [len(lines)]
    for start, end in zip(starts, starts[1:], strict=False):
        text = lines[start] == "# %% [markdown]"
        assert text or lines[start] == "# %%", f"line {start + 1} is no beginning of a cell: {lines[start]}"
        body = lines[start + 1 : end]
        if text:
            body = [line for line in body if line]
            assert all(line == "#" or line.startswith("# ") for line in body), f"code in the text at line {start + 1}"
            body = [line[2:] for line in body]
        found.append(Cell(text, start + 2, "\n".join(body)))
    return found


def quotes(text):
    """The lines that a text cell says are printed: four spaces and a ``>``."""
    return [line[6:] for line in text.splitlines() if line.startswith("    > ")]


def agrees(quoted, printed):
    """Whether a printed line is the quoted one.

    Blanks count as one; ``...`` stands for anything; a number with a decimal point may differ by one in the last digit
    that is quoted, since processors round differently; other numbers are exact.
    """
    quoted, printed = " ".join(quoted.split()), " ".join(printed.split())
    parts, wanted, at = [], [], 0
    for match in re.finditer(rf"{NUMBER.pattern}|\.\.\.", quoted):
        parts.append(re.escape(quoted[at : match.start()]))
        at = match.end()
        if match.group() == "...":
            parts.append(".*")
        else:
            parts.append(f"({NUMBER.pattern})")
            wanted.append(match.group())
    found = re.fullmatch("".join(parts) + re.escape(quoted[at:]), printed)
    return found is not None and all(map(near, wanted, found.groups()))


def near(quoted, printed):
    digits, _, power = quoted.partition("e")
    if "." not in digits:
        return quoted == printed
    unit = 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
    return abs(float(printed) - float(quoted)) <= 1.001 * unit


def run(lesson, folder, monkeypatch):
    """Run a lesson cell by cell; hold what its text quotes against what the cell before printed."""
    monkeypatch.setattr(sys, "argv", [str(lesson), "--out", str(folder)])
    monkeypatch.syspath_prepend(str(LESSONS))
    names, printed = {"__name__": "__main__"}, []
    for cell in cells(lesson.read_text(encoding="utf-8")):
        where = f"{lesson.name}, line {cell.line}"
        if not cell.text:
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile("\n" * (cell.line - 1) + cell.content, str(lesson), "exec"), names)
            printed = output.getvalue().splitlines()
            continue
        left = iter(printed)
        for quoted in quotes(cell.content):
            assert any(agrees(quoted, line) for line in left), f"{where}: not printed, or not in this order: {quoted}"


@pytest.mark.parametrize("lesson", FILES, ids=lambda path: path.stem)
def test_it_prints_what_its_text_says_and_saves_its_picture(lesson, tmp_path, monkeypatch):
    began = time.process_time()
    run(lesson, tmp_path, monkeypatch)
    assert time.process_time() - began < 2 * SECONDS  # processor time, of two cores, with what has to be compiled
    pages = {"12_inside": ["12_inside.html", "12_training.gif", "12_training.html"]}.get(lesson.stem, [])
    assert {path.name for path in tmp_path.iterdir()} == {*pages, f"{lesson.stem}.png"}
    width, height = Image.open(tmp_path / f"{lesson.stem}.png").size
    assert width >= 800 and height >= 300


def test_a_text_that_says_what_is_not_printed_is_found(tmp_path, monkeypatch):
    lesson = tmp_path / "01_test.py"
    for quoted in ("right 0.81", "last"):
        lesson.write_text(f"# %%\nprint('right 0.81')\nprint('last')\n\n# %% [markdown]\n#     > {quoted}\n")
        run(lesson, tmp_path, monkeypatch)
    for quoted in ("right 0.84", "first", "last\n#     > right 0.81"):
        lesson.write_text(f"# %%\nprint('right 0.81')\nprint('last')\n\n# %% [markdown]\n#     > {quoted}\n")
        with pytest.raises(AssertionError, match="01_test.py, line 6: not printed"):
            run(lesson, tmp_path, monkeypatch)


@pytest.mark.parametrize("lesson", FILES, ids=lambda path: path.stem)
def test_it_keeps_to_the_form(lesson):
    source = lesson.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 150
    first, *_, last = found = cells(source)
    assert source.startswith("# %% [markdown]\n") and first.text and last.text
    number = int(lesson.name[:2])
    assert first.content.startswith(f"# {number}. ") and "**Question.**" in first.content
    for heading in ("## What you saw", "## Try"):
        assert heading in last.content
    quoted = [line for cell in found if cell.text for line in quotes(cell.content)]
    assert quoted, "the text says nothing of what is printed"
    prose = [line for cell in found if cell.text for line in cell.content.splitlines() if not line.startswith("    > ")]
    known = "\n".join(quoted + [cell.content for cell in found if not cell.text])
    for value in re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", "\n".join(prose)):
        assert value in known, f"{value} is neither printed nor in the code"


def test_the_page_of_the_course_lists_every_lesson_with_its_picture():
    page = (LESSONS / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\((\d\d_\w+\.py)\)", page) == [path.name for path in FILES]
    assert re.findall(r"\((thumbnails/\w+\.png)\)", page) == [f"thumbnails/{path.stem}.png" for path in FILES]
    thumbnails = list((LESSONS / "thumbnails").iterdir())
    assert {path.stem for path in thumbnails} == {path.stem for path in FILES}
    assert sum(path.stat().st_size for path in thumbnails) < 1_000_000


@pytest.fixture
def run_all(monkeypatch):
    """`examples/lessons/run_all.py` as a module."""
    monkeypatch.syspath_prepend(str(LESSONS))
    spec = importlib.util.spec_from_file_location("run_all", LESSONS / "run_all.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_run_all_runs_each_and_leaves_its_picture(run_all, tmp_path, monkeypatch, capsys):
    """On two lessons of its own."""
    for name in ("01_one", "02_two"):
        (tmp_path / f"{name}.py").write_text(
            f"import pictures\nfigure, _ = pictures.panels(1, 1, 6, 3)\npictures.save(figure, '{name}', 'a test')\n"
        )
    monkeypatch.setattr(run_all, "LESSONS", tmp_path)
    assert run_all.main(["--out", str(tmp_path / "all"), "--thumbnails", str(tmp_path / "small")]) == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["01_one.png", "02_two.png"]
    assert {Image.open(path).width for path in (tmp_path / "small").iterdir()} == {run_all.WIDTH}
    assert "02_two" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--out", "--thumbnails"])
def test_run_all_says_in_a_sentence_that_a_folder_cannot_be_made(run_all, option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SystemExit):
        run_all.main([option, "taken"])
    assert "no pictures can be written to taken: File exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("quoted", "printed", "same"),
    [
        ("loss 0.81", "loss 0.8149", True),
        ("loss 0.81", "loss  0.82", True),
        ("loss 0.81", "loss 0.83", False),
        ("shape (62, 62)", "shape (62, 62)", True),
        ("shape (62, 62)", "shape (62, 63)", False),
        ("error 1.2e-07", "error 1.3e-07", True),
        ("error 1.2e-07", "error 1.2e-06", False),
        ("sum -0.4", "sum 0.4", False),
        ("took ... ms", "took 3.4 ms", True),
        ("took ... ms", "took 3.4 s", False),
    ],
)
def test_a_quoted_line_is_compared_number_by_number(quoted, printed, same):
    assert agrees(quoted, printed) is same
