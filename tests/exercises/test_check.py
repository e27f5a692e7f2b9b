"""Answers that are broken, in every way: a sentence each, and never a traceback."""

import numpy as np
import pytest

from tinycnn.exercises import EXERCISES, check
from tinycnn.exercises.check import Report

DENSE = EXERCISES["dense"]
RIGHT = DENSE.solution


def changed(**outputs):
    """A right answer but for some outputs."""

    def answer(x, kernel, bias, grad_y):
        found = dict(zip(DENSE.outputs, RIGHT(x, kernel, bias, grad_y), strict=True))
        return tuple(outputs[key](value) if key in outputs else value for key, value in found.items())

    return answer


def one_nan(array):
    array[0, -1] = np.nan
    return array


@pytest.mark.parametrize(
    "answer, sentence",
    [
        (
            changed(y=one_nan),
            f"y[0, 3] is nan, expected {RIGHT(**DENSE.cases['three rows'])[0][0, 3]:.6g} (1 of 12 not finite)",
        ),
        (changed(grad_kernel=lambda a: a.T), "grad_kernel has shape (4, 2), expected (2, 4)"),
        (changed(grad_x=lambda a: a.astype(np.float32)), "grad_x is of dtype float32, expected float64"),
        (changed(grad_bias=lambda a: np.rint(a).astype(int)), "grad_bias is of dtype int64, expected float64"),
        (changed(y=lambda a: None), "y is None: not returned, or not written yet"),
        (changed(y=lambda a: "numbers"), "y is no array of numbers but str"),
        (changed(y=lambda a: [[1.0], [2.0, 3.0]]), "y is no array of numbers but list"),
        (changed(y=lambda a: a + 1e-6), "y[0, 0] is "),
        (
            lambda x, kernel, bias, grad_y: None,
            "nothing was returned (None); expected y, grad_x, grad_kernel, grad_bias",
        ),
        (lambda x, kernel, bias, grad_y: x, "one ndarray returned; expected 4: y, grad_x"),
        (lambda x, kernel, bias, grad_y: (x, x), "2 values returned; expected 4"),
        (lambda x, kernel: x, "TypeError: "),
        (lambda x, kernel, bias, grad_y: x @ grad_y @ x, "ValueError: "),
        (lambda x, kernel, bias, grad_y: exit(), "SystemExit: "),
    ],
)
def test_a_sentence_for_each_kind(answer, sentence):
    report = check(DENSE, answer)
    assert not report.ok and any(sentence in text for text in report.faults["three rows"].values())
    assert "Traceback" not in str(report)


def test_the_line_of_an_error_is_named():
    def answer(x, kernel, bias, grad_y):
        return [][len(x)]

    (sentence,) = check(DENSE, answer).faults["three rows"].values()
    assert sentence.endswith(", `return [][len(x)]`: IndexError: list index out of range")
    assert sentence.startswith(f"line {answer.__code__.co_firstlineno + 1}, ")


def test_an_argument_changed_in_place():
    def answer(x, kernel, bias, grad_y):
        found = RIGHT(x, kernel, bias, grad_y)
        grad_y *= 2
        return found

    report = check(DENSE, answer)
    assert (
        report.faults["three rows"] == {"argument grad_y": "grad_y was changed in place: work on a copy"}
        and not report.suspicions
    )


def test_an_argument_changed_in_place_says_nothing_of_the_output_of_its_name():
    adam = EXERCISES["adam"]

    def answer(m, grad, betas, **rest):
        found = adam.solution(m=m, grad=grad, betas=betas, **rest)
        m *= betas[0]
        return found[0], found[1], 2 * found[2]

    report = check(adam, answer)
    assert list(report.faults["the third step"]) == ["v", "argument m"]
    assert report.suspicions == ["v: scaled: it is 2 times the right one throughout (case: the hundredth step)"]


def test_two_numbers_that_differ_look_different():
    (sentence,) = check(DENSE, changed(y=lambda a: a * (1 + 1e-8))).faults["one row, by hand"].values()
    assert sentence.startswith("y[0, 0] is 112.000001, expected 112 (")


def test_nan_and_a_wrong_dtype_are_no_pattern():
    """In the right places a nan is no evidence, and equal numbers look like themselves reversed."""
    assert check(DENSE, changed(y=lambda a: np.where(a > a.min(), np.nan, a))).suspicions == []
    assert check(DENSE, changed(grad_bias=lambda a: a.astype(np.float32))).suspicions == []


def test_an_answer_that_changes_from_call_to_call():
    noise = np.random.default_rng(0)
    (text,) = check(DENSE, changed(y=lambda a: a + noise.normal(size=a.shape))).suspicions
    assert check(DENSE, changed(y=lambda a: None)).suspicions == []
    assert text.startswith("called again with the same arguments it gives other numbers (case: one row, by hand)")


def test_the_same_error_is_evidence_and_another_is_not():
    assert check(DENSE, lambda x, kernel, bias, grad_y: 1 / 0).suspicions == []
    conv = EXERCISES["conv_backward"]
    report = check(conv, lambda strides, **rest: conv.solution(strides=strides[::-1], **rest))
    assert report.suspicions == ["vertical and horizontal stride are exchanged (the same error comes out so)"]


def test_the_first_wrong_case_is_told_whole():
    text = str(check(DENSE, changed(grad_bias=lambda a: a + [0.5] * 4 if len(a) == 4 else a)))
    assert text == "\n".join(
        [
            "dense: 3 of 4 cases pass",
            "  ok     one row, by hand",
            "  WRONG  three rows",
            "         given x (3, 2), kernel (2, 4), bias (4,) [-1.2, 0.3, 0.1, 0.2], grad_y (3, 4)",
            text.splitlines()[4],
            "  ok     more inputs than units",
            "  ok     as many rows as inputs and units",
        ]
    ).replace("[-1.2, 0.3, 0.1, 0.2]", str(DENSE.cases["three rows"]["bias"].round(3).tolist()))
    assert text.splitlines()[4].startswith("         grad_bias[0] is ")


@pytest.mark.parametrize("name", [name for name in EXERCISES if name not in ("own_layer", "receptive_field")])
def test_random_errors_raise_no_suspicion(name):
    exercise = EXERCISES[name]
    for seed in range(4):

        def noisy(seed=seed, **arguments):
            noise = np.random.default_rng([seed, sum(np.size(value) for value in arguments.values())])
            found = exercise.solution(**arguments)
            found = found if len(exercise.outputs) > 1 else (found,)
            wrong = tuple(value + 0.1 * noise.normal(size=np.shape(value)) for value in found)
            return wrong if len(wrong) > 1 else wrong[0]

        report = check(exercise, noisy)
        assert report.passed == 0 and report.suspicions == []


def test_who_explains_the_right_outputs_too_comes_first():
    """A mask that is forgotten backward is not the same as one that is forgotten altogether."""
    dropout = EXERCISES["dropout"]
    for answer, words in [
        (
            lambda grad_y, **rest: (dropout.solution(grad_y=grad_y, **rest)[0], grad_y.copy()),
            "does not go through the mask",
        ),
        (lambda x, grad_y, **rest: (x.copy(), grad_y.copy()), "nothing is dropped in training"),
    ]:
        (text,) = check(dropout, answer).suspicions
        assert words in text


def test_shapes_and_an_upstream_of_ones_would_let_many_through():
    """Mistakes that give right shapes, and right numbers where all gradients from above are 1."""
    through = []
    for exercise in EXERCISES.values():
        if all("grad_y" in arguments for arguments in exercise.cases.values()):
            for suspect in exercise.suspects:
                variant = exercise.variant(suspect.right, suspect.wrong)
                if all(_agrees(exercise, variant, dict(arguments)) for arguments in exercise.cases.values()):
                    through.append(f"{exercise.name}: {suspect.cause}")
                    assert not check(exercise, variant).ok
    assert len(through) >= 14, through


def _agrees(exercise, variant, arguments):
    arguments["grad_y"] = np.ones_like(arguments["grad_y"])
    try:
        with np.errstate(all="ignore"):
            found, right = exercise.run(variant, **arguments), exercise.oracle(**arguments)
    except Exception:
        return False
    pairs = zip(found, right, strict=True) if len(exercise.outputs) > 1 else [(found, right)]
    return all(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-6, atol=1e-12) for a, b in pairs)


def test_report():
    report = Report("dense", faults={"one": {}, "two": {"y": "y is wrong"}}, given={"one": "", "two": "x 1"})
    assert not report.ok and report.passed == 1 and report.line == "1 of 2 cases pass"
    assert Report("dense", written=False).line == "not written yet" and not Report("dense", written=False).ok
    assert Report("dense", faults={"one": {}}).line == "passes"


def test_each_wrong_output_is_told_once_in_the_simplest_case_that_shows_it():
    """A bias that is wrong everywhere does not hide a gradient that is wrong where there is padding."""
    conv = EXERCISES["conv_backward"]

    def answer(x, kernel, grad_y, strides, padding):
        grad_x, grad_kernel, grad_bias = conv.solution(x, kernel, grad_y, strides, padding)
        return grad_x + sum(padding[0]), grad_kernel, 2 * grad_bias

    lines = str(check(conv, answer)).splitlines()
    places = [
        next(i for i, line in enumerate(lines) if words in line)
        for words in ("grad_bias[0] is", "grad_x[0, 0, 0, 0] is")
    ]
    assert [lines[i - 2] for i in places] == ["  WRONG  one row, by hand", "  WRONG  padding"]
    assert lines[-1] == "suspicion: grad_bias: scaled: it is 2 times the right one throughout (case: everything)"


def test_a_mistake_is_named_although_another_answer_fails_in_one_case():
    """Negative indices wrap around in Python, indices that are too large are errors."""
    conv = EXERCISES["conv_backward"]

    def answer(x, kernel, grad_y, strides, padding):
        if padding != ((0, 0), (0, 0)):
            return [][1]
        grad_x, grad_kernel, grad_bias = conv.solution(x, kernel, grad_y, strides, padding)
        return grad_x, grad_kernel, grad_y.sum(axis=(1, 2))

    report = check(conv, answer)
    assert report.suspicions == ["the sum over images is missing (grad_bias is exactly what comes out so)"]
    assert list(report.faults["padding"]) == ["error"]


def test_most_of_the_cases_are_evidence_if_said_so():
    conv = EXERCISES["conv_forward"]

    def answer(x, kernel, bias, strides, padding):
        return conv.solution(x, kernel[::-1, ::-1], 0 * bias if strides != (1, 1) else bias, strides, padding)

    (text,) = check(conv, answer).suspicions
    assert text.startswith("the kernel is flipped") and text.endswith("so, but not in: strides; everything)")
