"""Who may import whom, read from the code; and tests that mirror it file for file."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tinycnn"

# The house, from the ground up: rooms, and files that lie flat in tinycnn/.  Each may import what stands on its own
# floor or below.  So study -> inside, models -> model -> training -> layers -> kernels, and never back.
FLOORS = [
    ["arguments", "files", "foreign", "gradcheck_result", "lazy", "notebook", "npz", "summary", "suspicion"]
    + ["reference", "reference_loops", "reference_training", "reference_winograd"],
    ["kernels"],
    ["data", "initializers", "losses", "memory", "optimizer", "optimizers", "regularizers", "schedules"],
    ["layers"],
    ["gradcheck", "gradcheck_moves", "serialization", "stack", "walk"],
    ["training"],
    ["model"],
    ["callbacks", "ensemble", "keras", "members", "models"],
    ["inside", "interop", "scores"],
    ["exercises", "study"],
    ["__main__"],
]
FLOOR = {name: height for height, floor in enumerate(FLOORS) for name in floor}
BESIDE_THE_ENGINE = {"exercises", "study", "scores", "inside", "interop", "__main__"}
PACKAGES = {"numpy", "numba", "llvmlite", "PIL", "matplotlib"}  # besides the standard library
# What can be imported under a name that is only known when the program runs.
BY_NAME = {"__main__", "interop/peers", "lazy", "layers/registry", "study/command_line"}

# Tests of no one file: the examples, other libraries, the whole.
OF_THE_WHOLE = {
    "test_benchmark_scripts",
    "test_benchmarks",
    "test_best_recipe",
    "test_campaigns",
    "test_compare_explanations",
    "test_compare_networks",
    "test_examples",
    "test_imports",
    "test_kernel_sets",
    "test_ladder",
    "test_lessons",
    "test_name_table",
    "test_peers",
    "test_reproduce",
    "test_see_through",
    "test_threads",
    "test_types",
    "of_keras/test_tutorials",
}
# Nothing in it but names of other files' and sentences; receptive fields are held against gradients in test_anatomy.
WITHOUT_CODE = {"callbacks", "keras/models", "keras/optimizers", "keras/regularizers", "study/notices"}


def modules():
    """``layers/conv`` and its like: every file of the package, `__init__` among them."""
    return sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))


def room(module):
    """What stands on a floor: the first part of a path in the package."""
    return module.split("/")[0]


def imports(module):
    """Names of what a file imports anywhere, functions included, but not what it imports for types alone.

    Of tinycnn's files as paths in the package, with a "/" in front; of others their package's name.
    """
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, *rest = name.split(".")
            while rest and not is_module(rest):  # the last part may be a name within the file
                rest.pop()
            yield "/" + "/".join(rest) if top == "tinycnn" else top


def is_module(parts):
    path = PACKAGE.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_every_file_stands_on_one_floor():
    assert len(FLOOR) == sum(map(len, FLOORS))
    assert {room(module) for module in modules()} - {"__init__"} == set(FLOOR)


@pytest.mark.parametrize("module", modules())
def test_imports_run_one_way(module):
    for name in imports(module):
        if not name.startswith("/"):
            assert name in PACKAGES or name in sys.stdlib_module_names, f"{module} imports {name}"
        elif name == "/":  # from there, everything could be reached
            assert room(module) == "study", f"{module} imports tinycnn as a whole"
        elif module != "__init__":
            here, there = room(module), room(name[1:])
            assert FLOOR[there] <= FLOOR[here], f"{module} imports {name[1:]}, which stands above {here}"


@pytest.mark.parametrize("module", modules())
def test_the_engine_imports_neither_study_nor_scores_nor_inside(module):
    if room(module) not in BESIDE_THE_ENGINE:
        assert not {room(name[1:]) for name in imports(module) if name.startswith("/")} & BESIDE_THE_ENGINE


def test_scores_know_files_alone():
    for module in modules():
        if room(module) == "scores":
            known = {room(name[1:]) for name in imports(module) if name.startswith("/")}
            packages = {name for name in imports(module) if name in PACKAGES}
            assert known <= {"arguments", "files", "notebook", "scores"} and packages <= {"numpy", "matplotlib"}, module


def test_files_that_import_by_name_are_known():
    """What they import cannot be read from the code."""
    found = {
        module for module in modules() if "import_module" in (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    }
    assert found == BY_NAME


def test_tests_mirror_the_package_file_for_file():
    tests = {path.relative_to(ROOT / "tests").with_suffix("") for path in (ROOT / "tests").rglob("test_*.py")}
    assert {test.as_posix() for test in tests} >= OF_THE_WHOLE
    named = {
        # A folder "keras" in tests/, which is on the path, would be imported as Keras where that is not installed.
        test.with_name(test.name.removeprefix("test_")).as_posix().replace("of_keras/", "keras/")
        for test in tests
        if test.as_posix() not in OF_THE_WHOLE
    }
    files = {module for module in modules() if not module.endswith("__init__")}
    assert named - files == set(), "tests of no file"
    assert files - named == WITHOUT_CODE, "files without a test, or tested ones in WITHOUT_CODE"
