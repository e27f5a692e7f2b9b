"""README's table of names: what it says of tinycnn, Keras and PyTorch is looked up in them."""

import inspect
import re
from pathlib import Path

import pytest

import tinycnn
from tinycnn import keras as ours

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
TABLE = README[README.index("| tinycnn | Keras | PyTorch |") :].split("\n\n")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in TABLE.splitlines()[2:]]


def names(cell):
    """``Conv2D(filters, groups)`` -> ("Conv2D", ["filters", "groups"]), for each in backticks."""
    for name, arguments in re.findall(r"`([A-Za-z][\w.]*)(?:\(([\w,= .-]*)\))?`", cell):
        yield name, [argument for argument in arguments.split(", ") if argument]


def find(name, *places):
    for place in places:
        thing = place
        for part in name.split("."):
            thing = getattr(thing, part, None) if thing is not None else None
        if thing is not None:
            return thing
    raise AssertionError(f"there is no {name}")


def check(cell, *places, same=""):
    """That every name of `cell`, or of `same` where it says so, is there and takes the arguments, with the defaults."""
    for name, arguments in names(same if cell.startswith("the same") else cell):
        thing = find(name, *places)
        parameters = inspect.signature(thing).parameters if arguments else {}
        for argument in arguments:
            key, _, default = argument.partition("=")
            assert key in parameters, f"{name} has no {key}"
            assert not default or parameters[key].default == float(default), f"{name}: {argument}"


def rows_of_code():
    return [row for row in ROWS if not row[0].startswith("`params")]


def test_the_table_is_whole():
    assert len(ROWS) > 15 and {len(row) for row in ROWS} == {3}
    table = {name for row in ROWS for name, _ in names(row[0])}
    layers = set(tinycnn.layers.__all__) - {"Augmentation", "Layer", "Rescaling", "Softmax"}
    assert layers <= table, f"not in README's table: {layers - table}"


@pytest.mark.parametrize("row", rows_of_code(), ids=lambda row: row[0][:30])
def test_names_of_tinycnn_and_its_keras(row):
    check(row[0], tinycnn)
    if "GELU" not in row[0] and row[1] != "none":
        check(row[1], ours.layers, ours, ours.optimizers, ours.Sequential, same=row[0])


def test_names_of_keras():
    keras = pytest.importorskip("keras")
    for row in rows_of_code():
        if row[1] != "none":
            check(row[1], keras.layers, keras, keras.optimizers, keras.Model, same=row[0])


def test_names_of_pytorch():
    torch = pytest.importorskip("torch")
    for row in rows_of_code():
        if "by hand" not in row[2] and "forward" not in row[2]:
            cell = re.sub(r"`eps`|`optim`|`nn`|\(epsilon=[^)]*\)", "", row[2])
            same = re.sub(r"\([^)]*\)", "", row[0])
            check(cell, torch, torch.nn, torch.optim, same=same)
