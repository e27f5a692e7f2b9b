"""The command that checks answers: ``python -m tinycnn.exercises conv_forward``."""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from tinycnn.exercises import EXERCISES, check
from tinycnn.exercises.exercise import Answer, Exercise
from tinycnn.study.command_line import answer

PROGRAM = "python -m tinycnn.exercises"
EXAMPLES = f"""first the stubs, then one function after the other:
  {PROGRAM} --start mine       writes the stubs into the folder mine; files that are there stay
  cd mine
  {PROGRAM}                    all exercises as a table
  {PROGRAM} dense              checks dense.py; --file PATH that of another folder or name
  {PROGRAM} dense --hint       the first hint; --hint 2 the next
  {PROGRAM} dense --solution   only then

exit codes: 0 all right, 1 something is wrong or not written, 2 a wrong name or file, 130 stopped by Ctrl-C"""


def main(argv: Sequence[str] | None = None) -> int:
    """Check answers and print what is wrong; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Write the parts of a convolutional network yourself; each answer is tried on small cases.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", help="one exercise; without it all that lie in the folder")
    parser.add_argument(
        "--file", type=Path, default=Path(), metavar="PATH", help="the file with the answer, or the folder (.)"
    )
    parser.add_argument("--start", type=Path, metavar="DIR", help="write the stubs into DIR")
    parser.add_argument("--hint", type=int, nargs="?", const=1, metavar="N", help="hint N, from 1")
    parser.add_argument("--solution", action="store_true", help="a solution that passes")
    return answer(_run, parser.parse_args(argv), stopped="is there a loop without an end?", memory="smaller arrays")


def _run(options: argparse.Namespace) -> int:
    if options.start is not None:
        return _start(options.start, options.name)
    if options.name is not None:
        return _one(_exercise(options.name), options)
    if options.hint is not None or options.solution:
        raise ValueError("--hint and --solution are of one exercise: give its name")
    return _table(options.file)


def _exercise(name: str) -> Exercise:
    name = Path(name).stem  # dense.py is meant well, too
    if name not in EXERCISES:
        raise ValueError(f"there is no exercise {name!r}; there are {', '.join(EXERCISES)}")
    return EXERCISES[name]


def _start(folder: Path, name: str | None) -> int:
    """Write stubs where no file lies."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for exercise in [_exercise(name)] if name else EXERCISES.values():
        path = folder / f"{exercise.name}.py"
        lines.append(f"{path}  {'was there and stays' if path.exists() else exercise.title}")
        if not path.exists():
            path.write_text(exercise.stub, encoding="utf-8")
    print("\n".join(lines))
    return 0


def _one(exercise: Exercise, options: argparse.Namespace) -> int:
    if options.solution:
        print(exercise.source.rstrip())
        return 0
    if options.hint is not None:
        count = len(exercise.hints)
        if not 1 <= options.hint <= count:
            raise ValueError(f"{exercise.name} has hints 1 to {count}")
        more = f"--hint {options.hint + 1}" if options.hint < count else "--solution"
        print(f"hint {options.hint} of {count}: {exercise.hints[options.hint - 1]}\n({more} shows more)")
        return 0
    path = options.file / f"{exercise.name}.py" if options.file.is_dir() else options.file
    report = check(exercise, _load(exercise, path))
    print(report)
    if not report.ok:
        print(f"a hint: {PROGRAM} {exercise.name} --hint")
    return 0 if report.ok else 1


def _table(folder: Path) -> int:
    """One line for each exercise."""
    if not any((folder / f"{name}.py").exists() for name in EXERCISES):
        raise ValueError(f"no exercise lies in the folder {folder.resolve()}; `{PROGRAM} --start DIR` writes them")
    done = 0
    for exercise in EXERCISES.values():
        path = folder / f"{exercise.name}.py"
        try:
            report = check(exercise, _load(exercise, path)) if path.exists() else None
            line, done = report.line if report else "no file", done + bool(report and report.ok)
        except (ValueError, OSError) as error:
            line = str(error)
        print(f"{exercise.name:20}{line:22}{exercise.title}")
    print(f"{done} of {len(EXERCISES)} done")
    return 0 if done == len(EXERCISES) else 1


def _load(exercise: Exercise, path: Path) -> Answer:
    """The answer in the student's file."""
    if not path.is_file():
        raise ValueError(f"no file {path}; `{PROGRAM} {exercise.name} --start DIR` writes the stub into DIR")
    spec = importlib.util.spec_from_file_location(f"answer_{exercise.name}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}: {(error.text or '').strip()}") from None
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path} fails when it is imported: {type(error).__name__}: {error}") from None
    found = vars(module).get(exercise.solution.__name__)
    if not callable(found):
        raise ValueError(f"{path} does not define {exercise.solution.__name__}")
    return found


if __name__ == "__main__":
    sys.exit(main())
