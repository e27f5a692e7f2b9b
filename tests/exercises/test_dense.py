import numpy as np
from exercise_holds import holds, suspected

from tinycnn.exercises.check import check
from tinycnn.exercises.dense import EXERCISE


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_written_with_einsum():
    def right(x, kernel, bias, grad_y):
        y = np.einsum("ni,iu->nu", x, kernel) + bias
        return y, np.einsum("nu,iu->ni", grad_y, kernel), np.einsum("ni,nu->iu", x, grad_y), np.ones(len(x)) @ grad_y

    assert check(EXERCISE, right).ok


def test_two_mistakes_at_once_and_one_that_nobody_knows():
    def wrong(x, kernel, bias, grad_y):
        return x @ kernel + bias**2, grad_y @ kernel.T, np.einsum("ni,nu->ui", x, grad_y), grad_y.sum(0) / len(grad_y)

    suspected(EXERCISE, wrong, "grad_y.T @ x is the transpose", "not their mean")


def test_a_factor_is_told_from_the_pattern():
    suspected(
        EXERCISE,
        lambda x, kernel, bias, grad_y: (*EXERCISE.oracle(x, kernel, bias, grad_y)[:3], 2 * grad_y.sum(axis=0)),
        "grad_bias: scaled: it is 2 times",
    )
