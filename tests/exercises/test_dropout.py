import numpy as np
from exercise_holds import holds, suspected

from tinycnn.exercises.check import check
from tinycnn.exercises.dropout import EXERCISE


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_written_in_another_way():
    def right(x, grad_y, uniform, rate, training):
        kept = (uniform >= rate) | (not training)
        return tuple(np.where(kept, a / (1 - rate * training), 0) for a in (x, grad_y))

    assert check(EXERCISE, right).ok


def test_a_mask_of_its_own_is_not_the_one_that_was_given():
    def own(x, grad_y, uniform, rate, training):
        mask = (np.random.default_rng(1).random(x.shape) >= rate) / (1 - rate) if training else 1.0
        return x * mask, grad_y * mask

    suspected(EXERCISE, own)
