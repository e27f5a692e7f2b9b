import numpy as np
from exercise_holds import holds, suspected

from tinycnn.exercises.check import check
from tinycnn.exercises.conv_forward import EXERCISE


def over_the_kernel(x, kernel, bias, strides, padding, flip=False):
    """Two loops over the kernel's cells instead of the outputs."""
    padded = np.pad(x, ((0, 0), padding[0], padding[1], (0, 0)))
    oh, ow = ((padded.shape[1 + a] - kernel.shape[a]) // strides[a] + 1 for a in (0, 1))
    y = np.zeros((len(x), oh, ow, kernel.shape[3])) + bias
    for r, s in np.ndindex(kernel.shape[:2]):
        seen = padded[:, r :: strides[0], s :: strides[1]][:, :oh, :ow]
        y += seen @ (kernel[-1 - r, -1 - s] if flip else kernel[r, s])
    return y


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_written_in_another_way():
    assert check(EXERCISE, over_the_kernel).ok
    suspected(EXERCISE, lambda **a: over_the_kernel(**a, flip=True), "the kernel is flipped")


def test_padding_with_the_nearest_pixel_is_no_padding_with_zeros():
    def edges(x, kernel, bias, strides, padding):
        return over_the_kernel(np.pad(x, ((0, 0), *padding, (0, 0)), "edge"), kernel, bias, strides, ((0, 0), (0, 0)))

    suspected(EXERCISE, edges)
    assert list(filter(check(EXERCISE, edges).faults.get, EXERCISE.cases)) == ["padding", "everything"]
