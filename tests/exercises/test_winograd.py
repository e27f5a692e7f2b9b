import numpy as np
from exercise_holds import holds

from tinycnn import reference
from tinycnn.exercises.check import check
from tinycnn.exercises.winograd import EXERCISE, winograd


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_written_by_hand():
    """Without matrices: sums and differences of rows, then of columns."""

    def recombine(d):
        return np.stack([d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]])

    def by_hand(d, g):
        V = recombine(recombine(d).swapaxes(0, 1)).swapaxes(0, 1)
        _, U, _ = winograd(d, g)
        return V, U, reference.conv2d_forward(d[None], g)[0]

    assert check(EXERCISE, by_hand).ok


def test_a_direct_convolution_without_transforms_is_not_enough():
    def direct(d, g):
        return d, g, reference.conv2d_forward(d[None], g)[0]

    faults = check(EXERCISE, direct).faults["channels"]
    assert len(faults) == 2 and faults["U"] == "U has shape (3, 3, 3, 1), expected (4, 4, 3, 1)"
