"""Zeros at the edges, for convolutions and pooling alike."""

import numpy as np
import pytest

from tinycnn import reference
from tinycnn.layers import Dense
from tinycnn.layers.padding import check_image, check_padding, resolve_padding


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_same_is_the_rule_of_the_reference(kernel, stride, dilation):
    for size in range(1, 12):
        assert resolve_padding("same", size, kernel, stride, dilation) == reference.same_padding(
            size, kernel, stride, dilation
        )


def test_same_gives_as_many_outputs_as_strides_fit():
    for size, kernel, stride in np.ndindex(12, 6, 4):
        size, kernel, stride = size + 1, kernel + 1, stride + 1
        before, after = resolve_padding("same", size, kernel, stride)
        assert (size + before + after - kernel) // stride + 1 >= -(-size // stride) and 0 <= after - before <= 1


@pytest.mark.parametrize(
    "padding, axes",
    [
        ("same", ("same", "same")),
        ("valid", ("valid", "valid")),
        (0, ((0, 0), (0, 0))),
        (np.int64(2), ((2, 2), (2, 2))),
        ((1, 2), ((1, 1), (2, 2))),
        ([[1, 0], 3], ((1, 0), (3, 3))),
        (((0, 2), (3, 1)), ((0, 2), (3, 1))),
    ],
)
def test_every_way_to_write_it(padding, axes):
    assert check_padding(padding, "Conv2D") == axes


@pytest.mark.parametrize("padding", ["full", "12", -1, 1.5, True, None, (1,), (1, 2, 3), ((1, 2, 3), 0), (0, -1), "s"])
def test_anything_else_is_refused(padding):
    with pytest.raises(ValueError, match="MaxPool2D: padding must be .*, got"):
        check_padding(padding, "MaxPool2D")


def test_images_have_three_axes():
    check_image(Dense(1), (4, 5, 3))
    with pytest.raises(ValueError, match=r"Dense needs inputs of shape \(height, width, channels\), got \(4, 5\)"):
        check_image(Dense(1), (4, 5))
