"""From operations to layers and blocks, without another library."""

import math

import numpy as np
import pytest

from tinycnn.interop.graph import Graph, Merge, Pad, ceil_sides, crops_of, sides_of
from tinycnn.layers import Conv2D, Conv2DTranspose, Dense, MaxPool2D, Parallel, ReLU, Residual, ZeroPadding2D

ONE = ((1, 1), (1, 1))


def weights(layer, shape):
    """As the layer draws them."""
    if not isinstance(layer, (Conv2D, Conv2DTranspose, Dense)):
        return {}
    twin = type(layer)(**layer.config())
    twin.build(shape)
    return twin.params


def built(shape, *operations):
    """Layers of the model made of ``(key, layer, *inputs)``."""
    graph = Graph("test", "x", shape)
    for key, layer, *inputs in operations:
        graph.add(key, layer, inputs, weights(layer, graph.shapes.get(inputs[0], shape)))
    return graph.sequential(key).layers


def row(layers, shape):
    return built(shape, *((str(i), layer, str(i - 1) if i else "x") for i, layer in enumerate(layers)))


def test_padding_and_activations_go_into_their_neighbours():
    layers = [Pad(((1, 0), (0, 2))), Conv2D(2, 3, padding=1), ReLU(), Pad(ONE), MaxPool2D(3)]
    conv, pool = row(layers, (6, 6, 1))
    assert conv.padding == ((2, 1), (1, 3)) and isinstance(conv.activation, ReLU)
    assert pool.padding == ONE
    (transposed,) = row([Conv2DTranspose(1, 3, strides=2, padding=(1, 0)), Pad(((0, -1), (-1, 0)))], (3, 3, 1))
    assert transposed.padding == ((1, 2), (1, 0))


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([Pad(ONE, 1.0)], "'0': padding by 1.0, .* is no layer here"),
        ([Pad(ONE, -math.inf), ReLU()], "'0': padding by -inf, "),
        ([Pad(ONE, 2.0), Conv2D(1, 2)], "'0': padding by 2.0, "),
        ([Conv2D(1, 2), Pad(((-1, 0), (0, 0)))], "'1': padding by 0.0, .* pad by zeros"),
    ],
)
def test_padding_that_no_layer_takes_is_named(layers, says):
    with pytest.raises(ValueError, match=says):
        row(layers, (4, 4, 1))


@pytest.mark.parametrize(
    "layers",
    [[Pad(ONE)], [Pad(ONE), MaxPool2D(2)], [Conv2DTranspose(1, 2), Pad(((1, 0), (0, 0)))], [Pad(ONE), Pad(ONE)]],
)
def test_padding_by_zeros_that_no_layer_takes_is_one_of_its_own(layers):
    found = row(layers, (4, 4, 1))
    assert len(found) == len(layers)
    assert [isinstance(layer, ZeroPadding2D) for layer in found] == [isinstance(given, Pad) for given in layers]


def test_what_is_concatenated_again_with_more_is_a_block_within_a_block():
    dense = {"a": Dense(4), "b": Dense(3), "c": Dense(2)}
    first, second, third = built(
        (5,),
        ("x0", Merge("concat"), "x"),
        ("a", dense["a"], "x0"),
        ("xa", Merge("concat"), "x", "a"),
        ("b", dense["b"], "xa"),
        ("xab", Merge("concat"), "x", "a", "b"),
        ("c", dense["c"], "xab"),
        ("all", Merge("concat"), "x", "a", "b", "c"),
    )
    assert [block.output_shape for block in (first, second, third)] == [(9,), (12,), (14,)]
    assert all(isinstance(block, Parallel) and block.branches[0] == [] for block in (first, second, third))


def test_blocks_nest_and_keep_their_sides():
    (block,) = built(
        (4,),
        ("a", Dense(4), "x"),
        ("b", Dense(4), "a"),
        ("inner", Merge("add"), "b", "a"),
        ("c", Dense(4), "inner"),
        ("short", Dense(4), "x"),
        ("outer", Merge("add"), "short", "c"),
        ("relu", ReLU(), "outer"),
    )
    assert [type(layer) for layer in block.layers] == [Dense, Residual, Dense] and len(block.shortcut) == 1
    assert block.layers[1].layers[0].given_name == "b" and isinstance(block.activation, ReLU)


def test_what_is_no_chain_of_blocks_is_named():
    with pytest.raises(ValueError, match="two places that do not meet in one block"):
        built((4,), ("a", Dense(4), "x"), ("b", Merge("add"), "a", "x"), ("c", Merge("add"), "b", "a"))
    with pytest.raises(ValueError, match="'b': it takes 'y', which no layer gives"):
        built((4,), ("b", Dense(4), "y"))
    with pytest.raises(ValueError, match="'b': shapes .* do not add up"):
        built((4,), ("a", Dense(3), "x"), ("b", Merge("add"), "a", "x"))


def test_weights_that_do_not_fit_are_named():
    graph = Graph("test", "x", (4,))
    graph.add("d", Dense(2), ["x"], {"kernel": np.zeros((3, 2)), "bias": np.zeros(2)})
    with pytest.raises(ValueError, match="layer 'd' has kernel of shape .4, 2., but test has .3, 2."):
        graph.sequential("d")


def test_windows_of_layers():
    assert sides_of(Conv2D(1, 3, strides=2, padding="same"), (4, 5, 1)) == ((0, 1), (1, 1))
    assert crops_of(Conv2DTranspose(1, 2, strides=3), (4, 5, 1)) == ((0, -1), (0, -1))
    assert [ceil_sides(n, 3, 2, 1, 1) for n in (5, 6, 7)] == [(1, 1), (1, 2), (1, 1)]
