import numpy as np
from exercise_holds import holds, suspected

from tinycnn.exercises.check import check
from tinycnn.exercises.conv_backward import EXERCISE


def over_the_kernel(x, kernel, grad_y, strides, padding, assign=False):
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    grad_padded, grad_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    for r, s in np.ndindex(kernel.shape[:2]):
        rows, columns = (slice(k, k + (n - 1) * d + 1, d) for k, n, d in zip((r, s), grad_y.shape[1:], strides))  # noqa: B905
        grad_kernel[r, s] = np.tensordot(padded[:, rows, columns], grad_y, ((0, 1, 2), (0, 1, 2)))
        grad_padded[:, rows, columns] = grad_y @ kernel[r, s].T + (0 if assign else grad_padded[:, rows, columns])
    (top, bottom), (left, right) = padding
    grad_x = grad_padded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]
    return grad_x, grad_kernel, grad_y.sum((0, 1, 2))


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_written_in_another_way():
    assert check(EXERCISE, over_the_kernel).ok


def test_a_part_that_is_not_written_yet_does_not_hide_the_others():
    def part(**arguments):
        grad_x, _, _ = over_the_kernel(**arguments)
        return grad_x, None, arguments["grad_y"].mean(axis=(0, 1, 2))

    suspected(EXERCISE, part, "a sum, not a mean")
    no_kernel, bias = check(EXERCISE, part).faults["several images"].values()
    assert no_kernel == "grad_kernel is None: not returned, or not written yet"
    assert bias.startswith("grad_bias[0] is ") and bias.endswith("(2 of 2 numbers differ)")


def test_the_textbook_formula_without_stride_is_right_until_there_is_one():
    """grad_x as a full convolution with the flipped kernel: holds for stride 1 alone."""

    def textbook(x, kernel, grad_y, strides, padding):
        return over_the_kernel(x, kernel, grad_y, (1, 1), padding)

    faults = check(EXERCISE, textbook).faults
    assert [case for case, found in faults.items() if found] == ["strides, pixels that no window sees", "everything"]
    suspected(EXERCISE, textbook, "the stride is ignored")


def test_overwriting_in_the_other_order():
    suspected(
        EXERCISE, lambda **arguments: over_the_kernel(**arguments, assign=True), "the first output of each pixel wins"
    )
