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
    faults : dict of str to dict of str to str
        For each case what is wrong: a sentence by the output's name, "argument" and its name, or "error"; empty
        where it passes.
    given : dict of str to str
        For each case its arguments, in short.
    suspicions : list of str
        Likely causes with their evidence.
    """

    name: str
    written: bool = True
    faults: dict[str, dict[str, str]] = field(default_factory=dict)
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
        lines, told = [f"{self.name}: {self.line}"], set()
        for case, found in self.faults.items():
            lines.append(f"  {'WRONG' if found else 'ok   '}  {case}")
            new = [text for key, text in found.items() if key not in told]  # each once, in the simplest case
            if new:
                told |= set(found)
                lines += [
                    f"         {line}" for text in [f"given {self.given[case]}", *new] for line in text.split("\n")
                ]
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
             given x (3, 2), kernel (2, 4), bias (4,) [0.189, -0.523, -0.413, -2.441], grad_y (3, 4)
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
        report.faults[case] = _faults(exercise, *tries[case]) | {
            f"argument {key}": f"{key} was changed in place: work on a copy"
            for key in arguments
            if not _equal(arguments[key], given[key])
        }
    if not report.ok:
        report.suspicions = _suspicions(exercise, tries, report.faults) or _restless(exercise, answer, tries)
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


def _faults(exercise: Exercise, outcome: list[Any] | _Failed, expected: list[Any] | _Failed) -> dict[str, str]:
    if isinstance(outcome, _Failed) or isinstance(expected, _Failed):
        return {"error": "".join(outcome)}
    found = {name: _fault(name, *each) for name, *each in zip(exercise.outputs, outcome, expected, strict=True)}
    return {name: text for name, text in found.items() if text}


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
    digits = next((n for n in range(6, 17) if f"{array[index]:.{n}g}" != f"{right[index]:.{n}g}"), 17)
    text = f"{_at(name, index)} is {array[index]:.{digits}g}, expected {right[index]:.{digits}g}"
    return text + (f" ({np.count_nonzero(wrong)} of {wrong.size} numbers differ)" if wrong.ndim else "")


def _numbers(value: Any) -> np.ndarray | None:
    try:
        array = np.asarray(value)
    except Exception:  # lists of unequal length, objects of any kind
        return None
    return array if array.dtype.kind in "biuf" else None


def _close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Element by element, up to rounding on the scale of the largest number."""
    scale = np.abs(b[np.isfinite(b)]).max(initial=0)
    return np.isclose(a, b, rtol=RTOL, atol=RTOL * max(scale, 1e-3), equal_nan=True)


def _suspicions(exercise: Exercise, tries: dict[str, tuple[Any, Any]], faults: dict[str, dict[str, str]]) -> list[str]:
    """For each output that is wrong somewhere: the known mistake that gives the same numbers, or else a pattern."""
    outputs = range(len(exercise.outputs))
    wrong = {k: [case for case in tries if exercise.outputs[k] in faults[case]] for k in outputs}
    left = {k for k in outputs if wrong[k]}
    if not left:  # all that is wrong are errors
        causes = [cause for cause, theirs in _known(exercise) if _same_errors(tries, theirs, outputs)]
        return [f"{cause} (the same error comes out so)" for cause in causes[:1]]
    # For each known mistake and output: the cases in which the answer is what comes of that mistake.
    mistakes = [
        (cause, [{case for case, (got, _) in tries.items() if _alike(got, theirs[case], k)} for k in outputs])
        for cause, theirs in _known(exercise)
    ]
    texts = []
    # First who explains the most outputs, those that are right among them.
    for cause, alike in sorted(mistakes, key=lambda each: -sum(len(cases) == len(tries) for cases in each[1])):
        same = {k for k in left if len(alike[k]) == len(tries)}
        if same:
            texts.append(f"{cause} ({_list([exercise.outputs[k] for k in sorted(same)])} exactly what comes out so)")
            left -= same
    for k in sorted(left):
        cause, alike = max(mistakes, key=lambda each: len(each[1][k].intersection(wrong[k])))
        rest = [case for case in tries if case not in alike[k]]
        if len(alike[k].intersection(wrong[k])) >= max(2, len(rest)):
            texts.append(f"{cause} ({exercise.outputs[k]} is exactly what comes out so, but not in: {'; '.join(rest)})")
        elif pattern := _pattern([(case, *(each[k] for each in tries[case])) for case in wrong[k]]):
            texts.append(f"{exercise.outputs[k]}: {pattern}")
    return texts


def _restless(exercise: Exercise, answer: Answer, tries: dict[str, tuple[Any, Any]]) -> list[str]:
    """Whether an answer that no known mistake explains gives other numbers the next time."""
    for case, (got, _) in tries.items():
        again = _outcome(exercise, answer, deepcopy(exercise.cases[case]))
        written = range(0 if isinstance(got, _Failed) else len(got))
        if not all(_alike(got, again, k) for k in written if got[k] is not None):
            return [f"called again with the same arguments it gives other numbers (case: {case}): draw none, keep none"]
    return []


@cache
def _known(exercise: Exercise) -> list[tuple[str, dict[str, list[Any] | _Failed]]]:
    """Cause of each known mistake, and what comes of it in every case."""
    variants = [(suspect.cause, exercise.variant(suspect.right, suspect.wrong)) for suspect in exercise.suspects]
    cases = exercise.cases.items()
    return [
        (cause, {case: _outcome(exercise, variant, deepcopy(arguments)) for case, arguments in cases})
        for cause, variant in variants
    ]


def _same_errors(tries: dict[str, tuple[Any, Any]], theirs: dict[str, Any], outputs: range) -> bool:
    """Whether the answer fails in the same cases and with the same words as a known mistake, and agrees in the rest."""
    ours = {case: got.what for case, (got, _) in tries.items() if isinstance(got, _Failed)}
    if not ours or ours != {case: got.what for case, got in theirs.items() if isinstance(got, _Failed)}:
        return False
    return all(_alike(got, theirs[case], k) for case, (got, _) in tries.items() for k in outputs)


def _alike(one: Any, other: Any, k: int) -> bool:
    """Whether output k of the answer is that of a known mistake; where the answer fails, it tells nothing."""
    if isinstance(one, _Failed) or isinstance(other, _Failed):
        return isinstance(one, _Failed)
    a, b = _numbers(one[k]), _numbers(other[k])
    if a is None or b is None or a.shape != b.shape or (a.ndim and a.dtype != b.dtype):
        return False
    return bool(np.all(_close(a, b)))


def _pattern(cases: list[tuple[str, Any, Any]]) -> str | None:
    """A suspicion that every wrong case of one output gives, told by the last, which is the largest."""
    found = []
    for case, got, right in cases:
        array, right = _numbers(got), np.asarray(right, float)
        if right.size > 1:  # any number is a multiple of any other
            told = array is not None and np.isfinite(array).all()
            text = suspicion(np.asarray(got, float), right) if told else None
            found.append(text and f"{text} (case: {case})")
    return found[-1] if found and all(found) else None


def _list(names: list[str]) -> str:
    return " and ".join(names) + (" is" if len(names) == 1 else " are")


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape}" + (f" {value.ravel().round(3).tolist()}" if value.size <= 4 else "")
    return value.__name__ if isinstance(value, type) else str(value)


def _at(name: str, index: tuple[int, ...]) -> str:
    return name + (f"[{', '.join(map(str, index))}]" if index else "")


def _equal(a: Any, b: Any) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
