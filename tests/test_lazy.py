import subprocess
import sys

import pytest

import tinycnn
from tinycnn import layers
from tinycnn.lazy import INSTEAD, lazy_names


def test_the_package_lists_everything():
    assert {"Conv2D", "losses", "gradcheck", "chest_phantoms"} <= set(dir(tinycnn))


@pytest.mark.parametrize("package", ["tinycnn", "tinycnn.layers"])
def test_every_name_of_the_stub_is_there(package):
    module = sys.modules[package]
    _, names, everything = lazy_names(package)
    assert everything == module.__all__ and set(everything) <= set(names()) == set(dir(module))
    for name in everything:
        assert getattr(module, name) is not None


def test_names_come_from_their_files():
    assert tinycnn.Conv2D is layers.Conv2D is layers.conv.Conv2D
    assert layers.Conv2D.__module__ == "tinycnn.layers.conv"
    assert tinycnn.losses.CrossEntropy is tinycnn.CrossEntropy
    assert tinycnn.training.fit is tinycnn.fit and tinycnn.callbacks.EarlyStopping is tinycnn.EarlyStopping
    assert tinycnn.gradcheck is sys.modules["tinycnn.gradcheck"].gradcheck  # a function and its file share the name


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'tinycnn' has no attribute 'Conv3D'"):
        _ = tinycnn.Conv3D
    with pytest.raises(ImportError, match="Conv3D"):
        from tinycnn.layers import Conv3D  # noqa: F401


def test_importing_tinycnn_loads_no_more_than_is_used():
    program = (
        "import sys, tinycnn; tinycnn.losses.CrossEntropy(); "
        "print([name for name in ('numba', 'PIL', 'matplotlib', 'tinycnn.model') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    program = "import sys, tinycnn.data, tinycnn.layers; print({'numba', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("package", "name", "instead"),
    [
        ("tinycnn", "MaxPooling2D", "MaxPool2D"),
        ("tinycnn", "BatchNorm2d", "BatchNorm"),
        ("tinycnn.keras", "datasets", "load_image_folder"),
        ("tinycnn.keras.layers", "RandomBrightness", "fit"),
    ],
)
def test_names_of_keras_and_pytorch_say_what_to_use_instead(package, name, instead):
    import importlib

    module = importlib.import_module(package)
    with pytest.raises(ImportError, match=f"module '{package}' has no {name}: use {instead}"):
        getattr(module, name)
    with pytest.raises(ImportError, match=f"use {instead}"):
        exec(f"from {package} import {name}")


def test_hints_name_what_exists():
    for name, instead in INSTEAD.items():
        first = instead.split("(")[0].split(",")[0].split(" ")[0].rstrip(".")
        if first[0].isupper():
            assert hasattr(tinycnn, first), name
            assert name not in tinycnn.__all__
