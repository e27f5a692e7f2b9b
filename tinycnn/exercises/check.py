"""Try an answer on the cases of its exercise, and say what is wrong with it in words."""

import inspect
import traceback
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tinycnn.exercises.exercise import Answer, Exercise
from tinycnn.suspicion import suspicion

RTOL = 1e-9  # float64 summed in another order stays far below


class _Failed(NamedTuple):
    """Why there are no outputs: which line of the student's, if known, and what happened."""

    where: str
    what: str


@dataclass
class Report:
    """What `check` found.

    Attributes
    ----------
    name : str
        Of the exercise.
    written : bool
        False while the stub raises NotImplementedError.
    faults : dict of str to list of str
        For each case what is wrong, in sentences; nothing where it passes.
    given : dict of str to str
        For each case its arguments, in short.
    suspicions : list of str
        Likely causes with their evidence.
    """

    name: str
    written: bool = True
    faults: dict[str, list[str]] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    suspicions: list[str] = field(default_factory=list)

    @property
    def passed(self) -> int:
        """How many cases are right."""
        return sum(not found for found in self.faults.values())

    @property
    def ok(self) -> bool:
        return self.written and self.passed == len(self.faults)

    @property
    def line(self) -> str:
        """All in a few words."""
        if not self.written:
            return "not written yet"
        return "passes" if self.ok else f"{self.passed} of {len(self.faults)} cases pass"

    def __str__(self) -> str:
        lines, told = [f"{self.name}: {self.line}"], False
        for case, found in self.faults.items():
            lines.append(f"  {'WRONG' if found else 'ok   '}  {case}")
            if found and not told:  # the first, which is the simplest, whole
                lines += [
                    f"         {text}" for text in [f"given {self.given[case]}", *found] for text in text.split("\n")
                ]
                told = True
        return "\n".join(lines + [f"suspicion: {text}" for text in self.suspicions])


def check(exercise: Exercise, answer: Answer) -> Report:
    """Try `answer` on every case.

    Examples
    --------
    >>> from tinycnn.exercises import EXERCISES
    >>> def dense(x, kernel, bias, grad_y):
    ...     return x @ kernel + bias, grad_y @ kernel.T, x.T @ grad_y, grad_y.mean(axis=0)
    >>> print(check(EXERCISES["dense"], dense))
    dense: 1 of 4 cases pass
      ok     one row, by hand
      WRONG  three rows
             given x (3, 2), kernel (2, 4), bias [0.189, -0.523, -0.413, -2.441], grad_y (3, 4)
             grad_bias[0] is 0.241019, expected 0.723057 (4 of 4 numbers differ)
      WRONG  more inputs than units
      WRONG  as many rows as inputs and units
    suspicion: the bias belongs to every row: a sum over rows, not their mean (grad_bias is exactly what comes out so)
    """
    report = Report(exercise.name)
    tries = {}
    for case, arguments in exercise.cases.items():
        report.given[case] = ", ".join(f"{key} {_short(value)}" for key, value in arguments.items())
        given = deepcopy(arguments)
        try:
            outcome = _outcome(exercise, answer, given)
        except NotImplementedError:
            report.written = False
            return report
        tries[case] = outcome, _outcome(exercise, exercise.oracle, deepcopy(arguments))
        report.faults[case] = _faults(exercise, *tries[case]) + [
            f"{key} was changed in place: work on a copy" for key in arguments if not _equal(arguments[key], given[key])
        ]
    if not report.ok:
        report.suspicions = _suspicions(exercise, tries)
    return report


def _outcome(exercise: Exercise, answer: Answer, arguments: Mapping[str, Any]) -> list[Any] | _Failed:
    """The outputs; in words, why there are none."""
    by_oracle = answer is exercise.oracle
    try:
        with np.errstate(all="ignore"):
            found = answer(**arguments) if by_oracle else exercise.run(answer, **arguments)
    except NotImplementedError:
        raise
    except (Exception, SystemExit) as error:
        return _Failed(_line(error, answer), f"{type(error).__name__}: {error}")
    if len(exercise.outputs) == 1:
        return [found]
    names = ", ".join(exercise.outputs)
    if found is None:
        return _Failed("", f"nothing was returned (None); expected {names}")
    if not isinstance(found, (tuple, list)) or len(found) != len(exercise.outputs):
        count = f"{len(found)} values" if isinstance(found, (tuple, list)) else f"one {type(found).__name__}"
        return _Failed("", f"{count} returned; expected {len(exercise.outputs)}: {names}")
    return list(found)


def _line(error: BaseException, answer: Answer) -> str:
    """The last line of the student's file on the way to an error."""
    codes = [part.__code__ for part in [answer, *vars(answer).values()] if inspect.isfunction(part)]
    files = {code.co_filename for code in codes}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f"line {frames[-1].lineno}, `{frames[-1].line}`: " if frames else ""


def _faults(exercise: Exercise, outcome: list[Any] | _Failed, expected: list[Any] | _Failed) -> list[str]:
    if isinstance(outcome, _Failed):
        return [outcome.where + outcome.what]
    found = [_fault(*each) for each in zip(exercise.outputs, outcome, expected, strict=True)]
    return [text for text in found if text]


def _fault(name: str, value: Any, right: Any) -> str | None:
    """What is wrong with one output, or None."""
    if value is None:
        return f"{name} is None: not returned, or not written yet"
    array, right = _numbers(value), np.asarray(right)
    if array is None:
        return f"{name} is no array of numbers but {type(value).__name__}"
    if array.shape != right.shape:
        return f"{name} has shape {array.shape}, expected {right.shape}"
    if right.ndim and array.dtype != right.dtype:
        return f"{name} is of dtype {array.dtype}, expected {right.dtype} as of the arguments"
    if not np.all(np.isfinite(array)):
        index = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        count = np.count_nonzero(~np.isfinite(array))
        return f"{_at(name, index)} is {array[index]}, expected {right[index]:.6g} ({count} of {array.size} not finite)"
    wrong = ~_close(array, right)
    if not wrong.any():
        return None
    index = tuple(np.argwhere(wrong)[0].tolist())
    text = f"{_at(name, index)} is {array[index]:.6g}, expected {right[index]:.6g}"
    return text + (f" ({np.count_nonzero(wrong)} of {wrong.size} numbers differ)" if wrong.ndim else "")


def _numbers(value: Any) -> np.ndarray | None:
    try:
        array = np.asarray(value)
    except ValueError:  # lists of unequal length
        return None
    return array if array.dtype.kind in "biuf" else None


def _close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Element by element, up to rounding on the scale of the largest number."""
    scale = np.abs(b[np.isfinite(b)]).max(initial=0)
    return np.isclose(a, b, rtol=RTOL, atol=RTOL * max(scale, 1e-3), equal_nan=True)


def _suspicions(exercise: Exercise, tries: dict[str, tuple[Any, Any]]) -> list[str]:
    """For each output that is wrong somewhere: the known mistake that gives the same everywhere, or a pattern."""
    outputs = range(len(exercise.outputs))
    left = {
        k
        for k in outputs
        if any(isinstance(got, list) and _fault(exercise.outputs[k], got[k], right[k]) for got, right in tries.values())
    }
    broken = not left  # all that is wrong are errors
    found = []
    for cause, theirs in _known(exercise):
        same = {k for k in outputs if all(_alike(got, theirs[case], k, broken) for case, (got, _) in tries.items())}
        found.append((cause, same))
    if broken:
        return [f"{cause} (the same error comes out so)" for cause, same in found if len(same) == len(outputs)][:1]
    texts = []
    for cause, same in sorted(found, key=lambda pair: -len(pair[1])):  # who explains most, right outputs included
        if names := [exercise.outputs[k] for k in sorted(same & left)]:
            texts.append(f"{cause} ({_list(names)} exactly what comes out so)")
            left -= same
    for k in sorted(left):
        pattern = _pattern(exercise.outputs[k], [(g[k], r[k]) for g, r in tries.values() if isinstance(g, list)])
        texts += [f"{exercise.outputs[k]}: {pattern}"] if pattern else []
    return texts


@cache
def _known(exercise: Exercise) -> list[tuple[str, dict[str, list[Any] | _Failed]]]:
    """Cause of each known mistake, and what comes of it in every case."""
    variants = [(suspect.cause, exercise.variant(suspect.right, suspect.wrong)) for suspect in exercise.suspects]
    cases = exercise.cases.items()
    return [
        (cause, {case: _outcome(exercise, variant, deepcopy(arguments)) for case, arguments in cases})
        for cause, variant in variants
    ]


def _alike(one: Any, other: Any, k: int, to_the_word: bool) -> bool:
    """Whether output k of two answers is the same; failing both counts as such, or failing with the same error."""
    if isinstance(one, _Failed) and isinstance(other, _Failed):
        return one.what == other.what or not to_the_word
    if isinstance(one, _Failed) or isinstance(other, _Failed):
        return False
    a, b = _numbers(one[k]), _numbers(other[k])
    return a is not None and b is not None and a.shape == b.shape and bool(np.all(_close(a, b)))


def _pattern(name: str, pairs: list[tuple[Any, Any]]) -> str | None:
    """A suspicion that every wrong case of one output gives, told by the last, which is the largest."""
    found = []
    for got, right in pairs:
        array = _numbers(got)
        if _fault(name, got, right):
            found.append(None if array is None else suspicion(array.astype(float), np.asarray(right, float)))
    return found[-1] if found and all(found) else None


def _list(names: list[str]) -> str:
    return " and ".join(names) + (" is" if len(names) == 1 else " are")


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value.shape) if value.size > 4 or value.ndim > 2 else str(value.round(3).tolist())
    return str(value)


def _at(name: str, index: tuple[int, ...]) -> str:
    return name + (f"[{', '.join(map(str, index))}]" if index else "")


def _equal(a: Any, b: Any) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
