"""Choosing a set of kernels.  What all of them compute is tested in test_im2col.py and test_plain_*.py."""

import ast
import inspect
import os
import subprocess
import sys

import pytest

from tinycnn.kernels import sets
from tinycnn.kernels.sets import SETS, Kernels, active, get_kernels, set_kernels


def run(program, **environment):
    """Output of a new process, whose environment names no set unless told."""
    clean = {key: value for key, value in os.environ.items() if key != "TINYCNN_KERNELS"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=False)


def test_the_fast_set_is_the_default():
    assert (
        run("from tinycnn.kernels.sets import *; print(get_kernels(), active().pool_width > 0)").stdout == "fast True\n"
    )


@pytest.mark.parametrize("name", SETS)
def test_the_environment_chooses(name):
    program = f"from tinycnn.kernels.sets import *; print(get_kernels(), active() == SETS['{name}']())"
    assert run(program, TINYCNN_KERNELS=name).stdout == f"{name} True\n"


@pytest.mark.parametrize("call", ["get_kernels()", "active()"])
def test_a_wrong_environment_is_named_when_it_is_used(call):
    done = run(f"from tinycnn.kernels import sets; print('imported'); sets.{call}", TINYCNN_KERNELS="quick")
    assert done.stdout == "imported\n"
    assert "ValueError: TINYCNN_KERNELS=quick: " in done.stderr
    assert all(f'"{name}"' in done.stderr.splitlines()[-1] for name in SETS)


def test_a_choice_makes_a_wrong_environment_harmless():
    program = "from tinycnn.kernels.sets import *; set_kernels('reference'); active(); print(get_kernels())"
    assert run(program, TINYCNN_KERNELS="quick").stdout == "reference\n"


def test_set_and_get():
    with set_kernels("fast"):
        for name in (*SETS, "fast"):
            set_kernels(name)
            assert get_kernels() == name and active() == SETS[name]()
        assert active() is active()


def test_the_context_manager_puts_the_old_set_back():
    with set_kernels("im2col"):
        before = active()
        with set_kernels("reference"):
            assert get_kernels() == "reference"
            with pytest.raises(ZeroDivisionError), set_kernels("fast"):
                assert get_kernels() == "fast"
                raise ZeroDivisionError
            assert get_kernels() == "reference"
        assert get_kernels() == "im2col" and active() is before


def test_the_context_manager_puts_the_environments_choice_back():
    program = (
        "from tinycnn.kernels.sets import *\nwith set_kernels('fast'): print(get_kernels())\nprint(get_kernels(), "
        "active().pool_width > 0)"
    )
    assert run(program, TINYCNN_KERNELS="reference").stdout == "fast\nreference False\n"


def test_an_unknown_name_changes_nothing():
    with set_kernels("im2col"):
        with pytest.raises(ValueError, match=r'set_kernels\(\'slow\'\): choose one of "fast", "im2col", "reference"'):
            set_kernels("slow")
        assert get_kernels() == "im2col"


def test_the_reference_never_imports_numba():
    program = """
import sys, numpy as np
import tinycnn.kernels.sets as sets
sets.set_kernels("reference")
y = np.empty((1, 1, 2))
sets.active().dense_forward(np.ones((1, 2)), np.ones((2, 2)), None, y[0])
print([name for name in sys.modules if name.split(".")[0] in ("numba", "llvmlite")])
"""
    assert run(program).stdout == "[]\n"


def test_the_sets_share_no_function_and_take_the_same_arguments():
    tables = [make() for make in SETS.values()]
    for field in Kernels._fields[:-3]:
        functions = [getattr(table, field) for table in tables]
        assert len(set(functions)) == len(tables), field
        signatures = {tuple((p.name, p.default) for p in inspect.signature(f).parameters.values()) for f in functions}
        assert len(signatures) == 1, (field, signatures)


def test_the_table_fits_on_a_screen():
    source = inspect.getsource(sets)
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes] == ["Kernels"] and classes[0].end_lineno - classes[0].lineno < 40
