"""What a picture of a pass shows: which layers and channels, and where the frames are."""

import numpy as np
import pytest

from tinycnn.inside.columns import columns_of, telling_channels
from tinycnn.inside.trace import trace
from tinycnn.layers.activation import ReLU, Softmax
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.residual import Residual
from tinycnn.layers.upsample import UpSample2D
from tinycnn.model import Sequential


def shown(layers, shape=(12, 16, 1), label=None):
    model = Sequential(layers)
    model.build(shape)
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    seen = trace(model, image[None], None if label is None else [label])
    return columns_of(model, seen, image), seen, image


def test_layers_that_change_nothing_are_left_out_and_the_rest_said_in_words():
    columns, _, _ = shown(
        [
            Conv2D(8, (3, 5), padding="same", activation="relu"),
            BatchNorm(),
            ReLU(),
            MaxPool2D(2),
            Residual([Conv2D(8, 1)]),
            AveragePool2D((2, 1)),
            UpSample2D(2),
            Conv2DTranspose(4, 3, strides=2, activation="tanh"),
            Dropout(0.5),
            GlobalAveragePool2D(),
            Dense(6),
            Reshape((2, 3)),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )
    assert [column.title.replace("\n", " / ") for column in columns] == [
        "the image / 12 × 16 × 1",
        "8 filters 3×5 / before ReLU / 12 × 16 × 8",
        "normalised / 12 × 16 × 8",
        "ReLU / 12 × 16 × 8",
        "largest of 2×2 / 6 × 8 × 8",
        "block + shortcut / 6 × 8 × 8",
        "mean of 2×1 / 3 × 8 × 8",
        "enlarged 2×2 / 6 × 16 × 8",
        "4 filters, ×2 / before Tanh / 13 × 33 × 4",
        "means / 4",
        "dense / 6",
        "how likely each class is",
    ]
    assert [column.kind for column in columns] == ["film", *["maps"] * 8, "strip", "strip", "bars"]


@pytest.mark.parametrize("end", [[Dense(3, activation="softmax")], [Dense(3), Softmax()]])
def test_numbers_are_those_of_the_trace(end):
    columns, seen, image = shown([Conv2D(5, 3, activation="relu"), Flatten(), *end], label=2)
    film, maps, *_, bars = columns
    np.testing.assert_array_equal(film.values, image)
    np.testing.assert_array_equal(film.grad, seen["conv2d"].grad_input[0].sum(axis=-1))
    np.testing.assert_array_equal(maps.values, seen["conv2d"].pre_activation[0])
    np.testing.assert_array_equal(maps.grad, seen["conv2d"].grad_pre_activation[0])
    np.testing.assert_allclose(bars.grad, bars.values - [0, 0, 1], atol=1e-6)
    assert shown([Flatten(), Dense(3)])[0][-1].title == "the scores"


def test_a_channel_is_followed_until_channels_mix():
    columns, _, _ = shown([Conv2D(16, 3), BatchNorm(), ReLU(), MaxPool2D(2), Conv2D(16, 1)])
    assert len({column.channels for column in columns[1:5]}) == 1
    assert len(columns[1].channels) == 3 and columns[5].channels != columns[1].channels


def test_channels_that_tell_most_are_active_and_differ():
    rng = np.random.default_rng(0)
    bright, edge, spot = rng.normal(size=(3, 20, 20))
    output = np.stack([bright, 3 * bright, 0 * bright, 0.5 * edge, bright + 0.1 * edge, 1e-3 * spot, spot], axis=-1)
    assert telling_channels(output) == (1, 3, 6)
    assert telling_channels(np.zeros((4, 4, 5))) == (0, 1, 2) and telling_channels(output[..., :1]) == (0,)


def test_frames_are_what_the_pixel_that_counts_most_sees():
    layers = [Conv2D(4, 3, padding="same"), AveragePool2D(2), Conv2D(4, 3, padding="same")]
    columns, seen, image = shown([*layers, Flatten(), Dense(3, activation="softmax")], label=1)
    record = seen["conv2d_1"]
    weight = np.abs(record.pre_activation * record.grad_pre_activation)[0].sum(axis=-1)
    row, column = np.unravel_index(weight.argmax(), weight.shape)
    assert columns[3].frame == ((row, row), (column, column))
    assert columns[2].frame == ((row - 1, row + 1), (column - 1, column + 1))
    assert columns[1].frame == ((2 * row - 2, 2 * row + 3), (2 * column - 2, 2 * column + 3))
    assert columns[0].frame == ((2 * row - 3, 2 * row + 4), (2 * column - 3, 2 * column + 4))
    assert columns[4].frame is None
