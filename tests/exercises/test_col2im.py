import numpy as np
from exercise_holds import holds, suspected

from tinycnn.exercises.check import check
from tinycnn.exercises.col2im import EXERCISE
from tinycnn.exercises.im2col import im2col


def with_places(columns, x_shape, window, strides, padding):
    """im2col of the pixels' numbers says where each element came from."""
    places = im2col(np.arange(1.0, 1 + np.prod(x_shape)).reshape(x_shape), window, strides, padding).astype(int)
    return np.bincount(places.ravel(), columns.ravel(), minlength=1 + np.prod(x_shape))[1:].reshape(x_shape)


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_written_in_another_way():
    assert check(EXERCISE, with_places).ok


def test_fancy_indices_do_not_add_up():
    def once(columns, x_shape, window, strides, padding):
        places = im2col(np.arange(1.0, 1 + np.prod(x_shape)).reshape(x_shape), window, strides, padding).astype(int)
        image = np.zeros(1 + np.prod(x_shape))
        image[places] += columns
        return image[1:].reshape(x_shape)

    suspected(EXERCISE, once, "overlapping windows overwrite one another")
