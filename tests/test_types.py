"""Types that editors and mypy see: of a user's script, and of the names that the package promises."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tinycnn

SCRIPT = """
import numpy as np
import tinycnn
from tinycnn.layers import Conv2D
from tinycnn.losses import CrossEntropy

layer = tinycnn.Conv2D(3, 3, padding="same")
model = tinycnn.Sequential([layer, tinycnn.Flatten(), tinycnn.Dense(3, activation="softmax")])
history = model.fit((np.zeros((4, 8, 8, 1)), np.arange(4) % 3), epochs=1, optimizer=tinycnn.Adam(1e-3), verbose=0)
reveal_type(layer)
reveal_type(model)
reveal_type(history)
reveal_type(history.epochs)
reveal_type(model.predict(np.zeros((1, 8, 8, 1))))
reveal_type(model.evaluate((np.zeros((4, 8, 8, 1)), np.zeros(4, int))))
reveal_type(tinycnn.gradcheck(Conv2D(2, 3), np.zeros((1, 4, 4, 1))))
reveal_type(CrossEntropy().forward(np.zeros((1, 2)), [0]))
reveal_type(tinycnn.Dense(3).forward(np.zeros((1, 2))))
reveal_type(tinycnn.wilson_interval(3, 4))
"""
REVEALED = [
    "tinycnn.layers.conv.Conv2D",
    "tinycnn.model.Sequential",
    "tinycnn.training.history.History",
    "int",
    "ndarray",
    "dict[str, float]",
    "tinycnn.gradcheck_result.GradcheckResult",
    "float",
    "ndarray",
    "tuple[float, float]",
]
WRONG = """
import tinycnn

tinycnn.Conv2D("three", 3)
tinycnn.Sequential([tinycnn.Dense(3)]).fit(3, epoch=1)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Where mypy keeps what it found out about the package, which takes nearly all of its time."""
    return tmp_path_factory.mktemp("mypy")


def mypy(tmp_path, text, cache):
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    script.write_text(text)
    options = ["--config-file", str(Path(__file__).parents[1] / "pyproject.toml"), "--cache-dir", str(cache)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(script)],
        capture_output=True,
        text=True,
        cwd=Path(tinycnn.__file__).parents[1],
        timeout=300,
    )
    return [line for line in done.stdout.splitlines() if line.startswith(str(script))]


def test_a_users_script_has_types(tmp_path, cache):
    lines = mypy(tmp_path, SCRIPT, cache)
    assert all("Revealed type is" in line for line in lines), lines
    assert len(lines) == len(REVEALED)
    for line, expected in zip(lines, REVEALED, strict=True):
        assert expected in line and '"Any"' not in line


def test_a_users_mistakes_are_found(tmp_path, cache):
    errors = "\n".join(mypy(tmp_path, WRONG, cache))
    assert 'Argument 1 to "Conv2D" has incompatible type "str"' in errors
    assert 'Unexpected keyword argument "epoch"' in errors


def test_every_promised_name_exists_and_every_public_signature_is_annotated():
    for name in tinycnn.__all__:
        assert getattr(tinycnn, name) is not None
    bare = []
    for path in sorted(Path(tinycnn.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bare += [f"{path}:{f.lineno} {node.name}.{f.name}" for f in node.body if _is_bare(f)]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bare += [f"{path}:{f.lineno} {f.name}" for f in tree.body if _is_bare(f)]
    assert bare == []


def _is_bare(node):
    """Whether it is a public function or method with an argument, or a result, that has no type."""
    if not isinstance(node, ast.FunctionDef) or (node.name.startswith("_") and node.name != "__init__"):
        return False
    jitted = {ast.unparse(decorator).split("(")[0].split(".")[-1] for decorator in node.decorator_list}
    if jitted & {"jit", "inlined", "intrinsic", "setter"}:  # numba works out their types itself
        return False
    arguments = [
        a for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs] if a.arg not in ("self", "cls")
    ]
    return node.returns is None or any(a.annotation is None for a in arguments)
