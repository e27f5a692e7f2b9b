"""Where windows lie, against counting, and upsampling's weights against the layer."""

import numpy as np
import pytest

from tinycnn.inside.windows import Axis, upsampling_weights, window_axes
from tinycnn.layers.dense import Dense
from tinycnn.layers.upsample import UpSample2D


@pytest.mark.parametrize("axis", [Axis(3, 1, 1, 1, 1, 7), Axis(3, 2, 2, 3, 0, 4), Axis(2, 3, 1, 0, 0, 5)])
def test_outputs_of_an_input_are_those_whose_window_covers_it(axis):
    for position in range(20):
        outputs, cells = axis.outputs_of(position)
        counted = [
            (o, k) for o in range(axis.outputs) for k, at in enumerate(axis.inputs_of(o).tolist()) if at == position
        ]
        assert list(zip(outputs.tolist(), cells.tolist(), strict=True)) == counted


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_upsampling_weights_are_the_layers(factor, interpolation):
    layer = UpSample2D((1, factor), interpolation)
    unit = np.eye(4).reshape(4, 1, 4, 1)
    matrix = layer.forward(unit)[:, 0, :, 0]  # of the input pixels, of the outputs
    for output in range(4 * factor):
        inputs, weights = upsampling_weights(factor, interpolation == "bilinear", output, 4)
        row = np.zeros(4)
        row[inputs] = weights
        np.testing.assert_allclose(row, matrix[:, output], atol=1e-6)


def test_a_layer_without_a_window_is_refused():
    layer = Dense(2, name="last")
    layer.build((3,))
    with pytest.raises(ValueError, match="'last' has no window"):
        window_axes(layer)
