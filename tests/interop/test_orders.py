"""The order of a flattened image's numbers, channels first and channels last."""

import numpy as np

from tinycnn.interop.orders import feature_orders, reordered
from tinycnn.layers import Conv2D, Dense, Flatten, Reshape
from tinycnn.model import Sequential


def test_orders_are_of_channels_first_and_reordered_takes_them():
    model = Sequential([Flatten(), Dense(12), Reshape((2, 3, 2)), Conv2D(1, 1), Flatten(), Dense(1)])
    model.build((3, 2, 2))
    orders = feature_orders(model.layers, "test")
    image = np.arange(12).reshape(3, 2, 2)
    np.testing.assert_array_equal(image.ravel()[orders[1]], image.transpose(2, 0, 1).ravel())
    image = image.reshape(2, 3, 2)
    np.testing.assert_array_equal(image.ravel()[orders[2]], image.transpose(2, 0, 1).ravel())
    kernel = reordered("kernel", np.arange(144).reshape(12, 12), orders[1], orders[2])
    assert kernel[3, 4] == 12 * orders[1][3] + orders[2][4]
    assert feature_orders(model.layers, "test", lambda layer: False) == [None] * 7
