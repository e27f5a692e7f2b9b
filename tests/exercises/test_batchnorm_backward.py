import numpy as np
from exercise_holds import holds, suspected

from tinycnn.exercises.batchnorm_backward import EXERCISE
from tinycnn.exercises.check import check


def step_by_step(x, gamma, grad_y, epsilon, mean_divided=True):
    """The graph of the paper, node by node."""
    flat, g = x.reshape(-1, x.shape[-1]), grad_y.reshape(-1, x.shape[-1])
    n = len(flat)
    centred = flat - flat.sum(axis=0) / n
    std = np.sqrt((centred**2).sum(axis=0) / n + epsilon)
    grad_xhat = g * gamma
    grad_v = -0.5 * (grad_xhat * centred).sum(axis=0) / std**3
    grad_m = -(grad_xhat / std).sum(axis=0)
    grad_x = grad_xhat / std + 2 * grad_v * centred / n + grad_m / (n if mean_divided else 1)
    return grad_x.reshape(x.shape), (g * centred / std).sum(axis=0), g.sum(axis=0)


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_written_in_another_way():
    assert check(EXERCISE, step_by_step).ok
    suspected(EXERCISE, lambda **a: step_by_step(**a, mean_divided=False), "the gradient of the mean misses its 1/n")
