import numpy as np
import pytest
from toys_gradcheck import Linear

from tinycnn.gradcheck_moves import DRAWS, directions, elements, undisturbed


def test_elements_move_one_by_one_and_return():
    tensor, gradient = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]])
    seen = []
    for index, move, analytic in elements(tensor, gradient):
        assert move(0.5) == 0.5 and tensor.sum() == 10.5
        move(0.0)
        seen.append((index, analytic))
    assert seen == [((0, 0), 5.0), ((0, 1), 6.0), ((1, 0), 7.0), ((1, 1), 8.0)] and tensor.sum() == 10


def test_the_step_that_was_taken_is_the_rounded_one():
    ((_, move, _),) = elements(np.array([1e8]), np.array([0.0]))
    assert move(1e-5) == (1e8 + 1e-5) - 1e8 != 1e-5


def test_directions_have_unit_length_and_the_gradients_projection():
    tensor, gradient = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    kept, count = tensor.copy(), 0
    for index, move, analytic in directions(tensor, gradient, np.random.default_rng(0)):
        move(1.0)
        step = tensor - kept
        assert index is None and np.linalg.norm(step) == pytest.approx(1) and analytic == pytest.approx(step @ gradient)
        move(0.0)
        count += 1
    assert np.array_equal(tensor, kept) and count == 2 * DRAWS


def test_constants_are_disturbed_inside_and_put_back_even_after_an_error():
    layer = Linear(3)
    layer.build((2,), np.random.default_rng(0), np.float64)
    layer.state["variance"] = np.ones(2)
    kernel = layer.params["kernel"].copy()
    with pytest.raises(KeyError), undisturbed([layer], np.random.default_rng(1)) as restore:
        assert np.ptp(layer.params["bias"]) > 0 and np.array_equal(layer.params["kernel"], kernel)
        disturbed = layer.state["variance"].copy()
        assert np.all(disturbed > 1)
        layer.state["variance"][:] = 7
        restore()
        assert np.array_equal(layer.state["variance"], disturbed)
        raise KeyError
    assert not layer.params["bias"].any() and np.all(layer.state["variance"] == 1)
