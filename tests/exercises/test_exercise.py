import re
from pathlib import Path

import numpy as np
import pytest

from tinycnn.exercises import EXERCISES
from tinycnn.exercises.exercise import numbers
from tinycnn.layers.base import Layer

FOLDER = Path(__file__).parents[2] / "examples/exercises"


def test_the_examples_are_the_stubs_of_all():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(EXERCISES)
    for name, exercise in EXERCISES.items():
        text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        assert text == exercise.stub, f"python -m tinycnn.exercises --start DIR writes another {name}.py"
        assert "return " not in text.split('"""')[-1], "a stub that gives the answer away"


def test_the_page_has_a_row_for_each_in_the_order_of_the_course():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(EXERCISES)
    count = sum(len(exercise.suspects) for exercise in EXERCISES.values())
    assert count > 150 and f"{count} mistakes" in page


def test_a_variant_is_the_solution_with_one_text_replaced():
    dense = EXERCISES["dense"]
    variant = dense.variant("x @ kernel + bias", "x @ kernel")
    arguments = dense.cases["three rows"]
    assert np.allclose(variant(**arguments)[0] + arguments["bias"], dense.solution(**arguments)[0])
    with pytest.raises(ValueError, match="'no such text' 0 times, not once"):
        dense.variant("no such text", "")
    with pytest.raises(ValueError, match="dense: the solution has 'grad_y' 4 times"):
        dense.variant("grad_y", "")


def test_variants_of_a_layer_do_not_take_its_name():
    before = Layer.registry["PReLU"]
    own = EXERCISES["own_layer"]
    assert own.variant("0.25, self.dtype", "0.5, self.dtype") is not Layer.registry["PReLU"] is before


def test_numbers():
    assert np.array_equal(numbers(3, 2, 4), numbers(3, 2, 4)) and numbers(3, 2, 4).shape == (2, 4)
