import numpy as np
from exercise_holds import holds, suspected

from tinycnn.exercises.adam import EXERCISE
from tinycnn.exercises.check import check


def algorithm_1(param, grad, m, v, t, learning_rate, betas, epsilon, inside=False):
    """With corrected means, as the paper's algorithm; epsilon is another there."""
    m, v = (b * old + (1 - b) * new for b, old, new in zip(betas, (m, v), (grad, grad * grad), strict=True))
    m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    epsilon = epsilon / np.sqrt(1 - betas[1] ** t) if inside else epsilon
    return param - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_the_papers_two_forms_are_told_apart():
    assert check(EXERCISE, lambda **arguments: algorithm_1(**arguments, inside=True)).ok
    suspected(EXERCISE, algorithm_1, "epsilon is added to the corrected root")


def test_the_callers_arrays_stay():
    def in_place(param, grad, m, v, t, learning_rate, betas, epsilon):
        new = algorithm_1(param, grad, m, v, t, learning_rate, betas, epsilon, inside=True)
        m[...], v[...] = new[1:]
        return new

    report = check(EXERCISE, in_place)
    assert report.faults["the third step"] == {
        "argument m": "m was changed in place: work on a copy",
        "argument v": "v was changed in place: work on a copy",
    }
