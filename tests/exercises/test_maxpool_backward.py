import numpy as np
from exercise_holds import holds, suspected

from tinycnn.exercises.check import check
from tinycnn.exercises.maxpool_backward import EXERCISE


def compared(x, grad_y, window, strides, once=False):
    """Cell by cell of the window: does it equal the maximum, and was none before?"""
    grad_x, free = np.zeros_like(x), np.ones(grad_y.shape, bool)
    cells = [(slice(None), slice(r, None, strides[0]), slice(s, None, strides[1])) for r, s in np.ndindex(*window)]
    views = [x[cell][:, : grad_y.shape[1], : grad_y.shape[2]] for cell in cells]
    y = np.max(views, axis=0)
    for cell, view in zip(cells, views, strict=True):
        here = (view == y) & free
        if once:
            free &= ~here
        grad_x[cell][:, : grad_y.shape[1], : grad_y.shape[2]] += grad_y * here
    return grad_x


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_written_in_another_way():
    assert check(EXERCISE, lambda **arguments: compared(**arguments, once=True)).ok
    suspected(EXERCISE, compared, "equal maxima all get the gradient")
    assert [case for case, found in check(EXERCISE, compared).faults.items() if found] == ["equal maxima"]
