from exercise_holds import holds

from tinycnn.exercises.check import check
from tinycnn.exercises.receptive_field import EXERCISE, receptive_field
from tinycnn.inside.anatomy import anatomy
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.pool import MaxPool2D
from tinycnn.model import Sequential


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_written_backwards():
    def back(layers):
        size = jump = 1
        for window, stride, dilation in reversed(layers):
            size, jump = (size - 1) * stride + (window - 1) * dilation + 1, jump * stride
        return size, jump

    assert check(EXERCISE, back).ok


def test_equals_what_the_package_says_of_a_network():
    model = Sequential([Conv2D(2, 3), MaxPool2D(2), Conv2D(2, 3, strides=2)])
    model.build((32, 32, 1))
    rows = anatomy(model).rows
    for count, row in enumerate(rows, 1):
        size, jump = receptive_field([(3, 1, 1), (2, 2, 1), (3, 2, 1)][:count])
        assert (row.receptive_field, row.jump) == ((size, size), (jump, jump))
