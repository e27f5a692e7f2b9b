"""Layers as JSON and back."""

import subprocess
import sys

import pytest

from tinycnn.layers import Conv2D, Dense
from tinycnn.layers.registry import describe, restore


def test_restore_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"expected a layer or a dict.*got 'relu'"):
        restore("relu")
    with pytest.raises(ValueError, match="unknown layer class 'Nowhere'.*LeakyReLU"):
        restore({"class": "Nowhere", "config": {}})


def test_restore_imports_layers_on_demand():
    program = (
        "import sys; from tinycnn.layers.registry import restore\n"
        "assert 'tinycnn.layers.reshape' not in sys.modules\n"
        "print(restore({'class': 'Flatten', 'config': {}}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "Flatten()\n", done.stderr


def test_a_name_from_a_file_is_the_layers_own_without_its_owners():
    spec = describe(Conv2D(4, 3, name="stem"))
    spec["name"] = "residual/stem"
    layer = restore(spec)
    assert (layer.name, layer.given_name) == ("residual/stem", "stem")
    assert restore(describe(Dense(3))).name is None
    layer = Dense(3)
    assert restore(layer) is layer
