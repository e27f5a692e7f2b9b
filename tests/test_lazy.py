"""Names imported on first use, from one list."""

import subprocess
import sys

import pytest

import tinycnn
from tinycnn.lazy import lazy_names


def test_names_come_from_the_stub_and_are_kept():
    lazy, listed, names = lazy_names("tinycnn.layers")
    assert "Conv2D" in names and set(names) <= set(listed())
    assert lazy("Conv2D").__module__ == "tinycnn.layers.conv"
    assert sys.modules["tinycnn.layers"].Conv2D is lazy("Conv2D")
    with pytest.raises(AttributeError, match="module 'tinycnn.layers' has no attribute 'Conv3D'"):
        lazy("Conv3D")


def test_modules_are_attributes_and_the_package_lists_everything():
    assert tinycnn.training.fit is tinycnn.fit and tinycnn.callbacks.EarlyStopping is tinycnn.EarlyStopping
    assert {"Conv2D", "losses", "gradcheck", "chest_phantoms"} <= set(dir(tinycnn))


def test_importing_the_package_takes_neither_numba_nor_matplotlib():
    program = "import sys, tinycnn, tinycnn.data, tinycnn.layers; print({'numba', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
