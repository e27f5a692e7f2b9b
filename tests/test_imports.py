"""Rooms: who may import whom, read from the code; and tests that mirror it file for file."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tinycnn"

# A room, and the rooms that its files may import besides itself.  "engine" is what lies flat in tinycnn/.
ALLOWED = {
    "reference": set(),
    "kernels": {"reference"},
    "layers": {"engine", "kernels"},
    "engine": {"kernels", "layers", "data", "training"},
    "models": {"engine", "layers", "data", "training"},
    "training": {"engine", "kernels", "layers", "data"},
    "data": {"engine", "kernels"},
    "scores": {"engine"},
    "inside": {"engine", "kernels", "layers", "data", "training"},
    "study": {"engine", "kernels", "layers", "models", "training", "data", "scores", "inside"},
}
PACKAGES = {"numpy", "numba", "llvmlite", "PIL", "matplotlib", "tinycnn"}
# Tests of no one file: the examples, other libraries, the whole.
OF_THE_WHOLE = {
    "test_benchmarks",
    "test_best_recipe",
    "test_compare_networks",
    "test_examples",
    "test_imports",
    "test_ladder",
    "test_peers",
    "test_reproduce",
    "test_see_through",
    "test_threads",
    "test_types",
    "kernels/test_tiles",
}
# Lists of names; and receptive fields, which tests/inside/test_anatomy.py holds against gradients.
WITHOUT_TESTS = {"callbacks", "inside/field", "study/notices"}


def files():
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module):
    parts = module.split(".")
    if len(parts) > 1 and parts[1].startswith("reference"):
        return "reference"
    return parts[1] if len(parts) > 1 and parts[1] in ALLOWED else "engine"


def imports(path):
    """Modules that a file imports anywhere, for types alone left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inner = PACKAGE.parent.joinpath(*node.module.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    room = room_of(module)
    for name in imports(path):
        top = name.split(".")[0]
        assert top in PACKAGES or top in sys.stdlib_module_names, f"{module} imports {name}"
        if top == "tinycnn" and name != "tinycnn":
            assert room_of(name) in ALLOWED[room] | {room}, f"{module}, in {room}, imports {name}"


def test_the_engine_imports_neither_study_nor_scores_nor_inside():
    upper = {"study", "scores", "inside"}
    for room, allowed in ALLOWED.items():
        if room not in upper:
            assert not allowed & upper
    checked = [path for path in files() if not upper & set(path.relative_to(PACKAGE).parts)]
    assert len(checked) > 50
    for path in checked:
        assert not {room_of(name) for name in imports(path) if name.startswith("tinycnn.")} & upper, path


def test_scores_know_files_alone():
    for path in (PACKAGE / "scores").glob("*.py"):
        ours = {name for name in imports(path) if name.startswith("tinycnn.")}
        assert all(name == "tinycnn.files" or room_of(name) == "scores" for name in ours), (path, ours)


def test_tests_mirror_the_package_file_for_file():
    ours = {str(path.relative_to(PACKAGE).with_suffix("")) for path in files() if path.stem not in ("__init__",)}
    tests = {
        str(path.relative_to(ROOT / "tests").with_suffix("")) for path in (ROOT / "tests").rglob("test_*.py")
    } - OF_THE_WHOLE
    named = {str(Path(name).with_name(Path(name).name.removeprefix("test_"))) for name in tests}
    assert named - ours == set(), "tests of no file"
    assert ours - named == WITHOUT_TESTS, "files without a test, or tested ones in WITHOUT_TESTS"
