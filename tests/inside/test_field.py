"""What an output sees, against the gradients of one output."""

import numpy as np
import pytest

from tinycnn.inside.anatomy import anatomy
from tinycnn.layers.activation import ReLU
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.depthwise import DepthwiseConv2D, SeparableConv2D
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.parallel import Parallel
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.rescaling import Rescaling
from tinycnn.layers.reshape import Flatten
from tinycnn.layers.residual import Residual
from tinycnn.layers.upsample import UpSample2D
from tinycnn.layers.zero_padding import ZeroPadding2D
from tinycnn.model import Sequential
from tinycnn.models import film_cnn


def rows_of(layers, shape):
    model = Sequential(layers)
    model.build(shape)
    return {row.path: row for row in anatomy(model).rows}


def fields_by_gradients(layers, shape):
    """Rows and columns of the image that reach any one output, at most, with weights that let all gradients through."""
    model = Sequential(layers)
    model.build(shape, np.float64)
    model.set_weights({key: np.ones_like(value) for key, value in model.get_weights().items()})
    y = model.forward(np.ones((1, *shape)))
    most = np.zeros(2, int)
    full = True
    for row, column in np.ndindex(y.shape[1:3]):
        grad = np.zeros_like(y)
        grad[0, row, column, 0] = 1
        reached = model.backward(grad)[0].any(axis=-1)
        if reached.any():
            extent = [np.ptp(np.flatnonzero(reached.any(axis=axis))) + 1 for axis in (1, 0)]
            most = np.maximum(most, extent)
            full &= reached.sum() == extent[0] * extent[1]
    return tuple(most.tolist()), full


@pytest.mark.parametrize(
    "layers, dense",
    [
        (lambda: [Conv2D(2, 3, padding="same"), AveragePool2D(2), Conv2D(2, (3, 5)), ReLU(), BatchNorm()], True),
        (lambda: [Conv2D(2, 4, strides=(2, 1), padding="same"), Conv2D(2, 3, strides=2), AveragePool2D(3, 2, 1)], True),
        (lambda: [Conv2D(2, 3, dilation_rate=(2, 3)), Conv2D(2, 2)], False),
        (lambda: [Conv2D(2, 2, strides=3), Conv2D(2, 3)], False),
        (lambda: [AveragePool2D(2), Conv2DTranspose(2, 3, strides=2), Conv2D(2, 3)], True),
        (lambda: [Conv2D(2, 3, strides=2), Conv2DTranspose(2, (2, 5), strides=(3, 2), padding="same")], True),
        (lambda: [AveragePool2D(3), UpSample2D((2, 3)), Conv2D(2, 3, padding="same")], True),
        (lambda: [AveragePool2D(2), UpSample2D((3, 2), interpolation="bilinear"), Conv2D(2, 2)], True),
        (lambda: [AveragePool2D(2), UpSample2D((2, 5), interpolation="bilinear")], True),
        (lambda: [Conv2D(2, 1), Residual([Conv2D(2, 3, padding="same"), Conv2D(2, 3, padding="same")])], True),
        (lambda: [Residual([Conv2D(2, 1, strides=2)], shortcut=[Conv2D(2, 4, strides=2, padding="same")])], True),
        (lambda: [Conv2D(2, 3), Dropout(0.5), GlobalAveragePool2D(keepdims=True), UpSample2D(2)], True),
        (lambda: [Rescaling(2), Parallel([[], Conv2D(1, 3, padding="same"), AveragePool2D(5, 1, 2)], "add")], True),
        (lambda: [SeparableConv2D(2, (2, 3), strides=2), Conv2D(2, 2)], True),
        (lambda: [ZeroPadding2D(((2, 0), (1, 3))), Conv2D(2, 3), DepthwiseConv2D(3, strides=2)], True),
        (lambda: [Conv2D(2, 3), ZeroPadding2D(1), AveragePool2D(4), Conv2D(2, 2)], True),
        (lambda: [Conv2DTranspose(2, 2, strides=3), Conv2D(2, 2)], True),  # with outputs that see nothing but zeros
    ],
)
def test_the_receptive_field_is_what_one_output_has_a_gradient_to(layers, dense):
    built = layers()
    for depth in range(1, len(built) + 1):
        shape = (22, 26, 1)
        found, full = fields_by_gradients(layers()[:depth], shape)
        last = list(rows_of(layers()[:depth], shape).values())
        claimed = next(row for row in reversed(last) if "/" not in row.path).receptive_field
        assert claimed == found, (depth, claimed, found)
        assert full or not dense  # holes only where a kernel leaves out pixels


def test_the_field_goes_on_beyond_the_edges_of_the_image():
    model = film_cnn()
    model.build((96, 96, 1))
    found = {row.path: row for row in anatomy(model).rows}
    assert found["conv2d_4"].receptive_field == (153, 153) and found["conv2d_4"].jump == (32, 32)
    assert found["global_average_pooling2d"].receptive_field == found["dense"].receptive_field == (96, 96)
    assert found["dense"].jump is None
    rows = rows_of([Flatten(), Dense(2)], (4, 6, 1))
    assert rows["flatten"].receptive_field is rows["flatten"].jump is None
    assert rows["dense"].receptive_field == (4, 6)
    assert rows_of([Dense(2)], (4,))["dense"].receptive_field is None


def test_the_jump_is_the_distance_of_two_outputs_fields():
    rows = rows_of(
        [Conv2D(1, 3, strides=(2, 3)), MaxPool2D(2), UpSample2D(8), Conv2DTranspose(1, 2, strides=2)], (32, 32, 1)
    )
    assert [tuple(map(str, row.jump)) for row in rows.values()] == [
        ("2", "3"),
        ("4", "6"),
        ("1/2", "3/4"),
        ("1/4", "3/8"),
    ]
