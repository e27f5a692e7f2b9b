"""Heat maps by hand, and how much of their heat lies inside masks."""

import numpy as np
import pytest

from tinycnn.inside.heat import heat_map, inside_by_class, mass_inside, pointing_game


def test_mass_inside():
    maps = np.array([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    masks = np.array([[[True, False], [False, True]]] * 2)
    share = mass_inside(maps, masks)
    assert share[0] == 0.5 and np.isnan(share[1])
    table = inside_by_class(maps, masks, [1, 0], ["a", "b", "c"])
    assert table == {
        "a": {"share": None, "area": 0.5, "images": 0},
        "b": {"share": 0.5, "area": 0.5, "images": 1},
        "c": {"share": None, "area": None, "images": 0},
    }
    with pytest.raises(ValueError, match="float64"):
        mass_inside(maps, masks.astype(float))
    with pytest.raises(ValueError, match="-1"):
        mass_inside(-maps[:1] / 4, masks[:1])
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        inside_by_class(maps, masks, [1], ["a"])


def test_pointing_game():
    maps = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    masks = np.array([[[True, True], [True, False]]] * 3)
    np.testing.assert_array_equal(pointing_game(maps, masks), [0, 1, np.nan])
    with pytest.raises(ValueError, match="one shape"):
        pointing_game(maps, masks[:2])


def test_heat_is_the_size_of_all_channels_scaled_by_image():
    attributions = np.zeros((2, 1, 2, 3))
    attributions[0, 0] = [[1, -2, 1], [0, -1, 0]]
    np.testing.assert_array_equal(heat_map(attributions), [[[1, 0.25]], [[0, 0]]])
    with pytest.raises(ValueError, match=r"got shape \(1, 2\)"):
        heat_map([[1.0, 2.0]])
