import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from kernel_cases import CASES, PLAIN_VARIANTS

from tinycnn.kernels import compile, dropout, images, norm, pool, runtime, updates

TESTS = str(Path(__file__).parents[1])


def run(program, folder=None, **environment):
    """stdout and stderr of a program of its own, with the package that lies in `folder`."""
    path = [str(folder)] if folder else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, os.getcwd(), TESTS]), **environment}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def copy_of_the_package(folder):
    copy = folder / "tinycnn"
    shutil.copytree(Path(runtime.__file__).parents[1], copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


RELU = """
import numpy as np
from tinycnn.kernels.activation import relu_backward
for dtype in DTYPES:
    relu_backward(np.ones(100, dtype), np.ones(100, dtype), out := np.empty(100, dtype))
    print(out.sum())
"""
LINE = "tinycnn: compiling each kernel when it is first needed; later runs load it from numba's cache\n"


@pytest.mark.parametrize("quiet", [False, pytest.param(True, marks=pytest.mark.long)])
def test_compiling_is_announced_once_in_every_process_that_compiles(tmp_path, quiet):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "TINYCNN_QUIET": "1" if quiet else ""}
    line, float32, both = "" if quiet else LINE, "[np.float32]", "[np.float32, np.float64]"
    first = run(RELU.replace("DTYPES", float32), **environment)
    assert first[1] == line
    assert run(RELU.replace("DTYPES", float32), **environment) == (first[0], "")  # now from the cache
    assert run(RELU.replace("DTYPES", both), **environment)[1] == line  # another variant: truly compiled
    assert run(RELU.replace("DTYPES", both), **environment)[1] == ""


def test_a_change_of_an_equation_reaches_the_cached_code(tmp_path):
    copy, environment = copy_of_the_package(tmp_path), {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    before = run(RELU.replace("DTYPES", "[np.float32]"), tmp_path, **environment)[0]
    simd = copy / "kernels" / "simd.py"
    text = simd.read_text()  # ReLU's backward pass, which an equation in another file calls
    simd.write_text(text.replace('builder.select(builder.fcmp_ordered(">", args[1], zero), args[0], zero)', "zero"))
    assert simd.read_text() != text
    assert run(RELU.replace("DTYPES", "[np.float32]"), tmp_path, **environment)[0] != before


CONVOLUTION = """
import numpy as np
from tinycnn.kernels import conv
x, y = np.ones((1, 8, 8, 32), np.float32), np.empty((1, 8, 8, 32), np.float32)
conv.set_winograd(4)
geometry = conv.Geometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
conv.forward(x, np.ones((3, 3, 32, 32), np.float32), None, geometry, y)
print(y[0, 4, 4, 0])
"""


@pytest.mark.long
def test_a_change_in_another_file_of_the_kernels_reaches_the_cached_code(tmp_path):
    """numba's own cache looks at the compiled function's file only."""
    copy, environment = copy_of_the_package(tmp_path), {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    right = run(CONVOLUTION, tmp_path, **environment)[0]
    transforms = copy / "kernels" / "winograd_transforms.py"
    transforms.write_text(transforms.read_text().replace("return m0 + near + far, ", "return m0 + 2.0 * near + far, "))
    assert run(CONVOLUTION, tmp_path, **environment)[0] != right == "288.0\n"


ONE_SWEEP = """
import numpy as np
from tinycnn.kernels.activation import relu_backward
relu_backward(*(np.ones(100, np.float32) for _ in range(3)))
"""


@pytest.mark.long
def test_code_for_another_processor_or_tile_is_not_taken_from_the_cache(tmp_path):
    folder = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "TINYCNN_QUIET": ""}
    for other, line in (
        ({"TINYCNN_SIMD": "avx2"}, LINE),
        ({"TINYCNN_SIMD": "avx2"}, ""),
        ({"TINYCNN_SIMD": "generic"}, LINE),
        ({"TINYCNN_SIMD": "generic", "NUMBA_CPU_NAME": "generic"}, LINE),
    ):
        assert run(ONE_SWEEP, **folder, **other) == ("", line)


def test_without_a_folder_for_the_cache_code_stays_in_memory(tmp_path):
    copy = copy_of_the_package(tmp_path)
    (copy / "kernels" / "__pycache__").write_text("a file where the cache's folder would be")
    nowhere = {name: "/dev/null/nowhere" for name in ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME")}
    out, err = run(RELU.replace("DTYPES", "[np.float32]"), tmp_path, **nowhere, PYTHONDONTWRITEBYTECODE="1")
    assert out == "100.0\n"
    assert err == (
        "tinycnn: compiling each kernel when it is first needed; no folder to keep it in, see NUMBA_CACHE_DIR\n"
    )


@pytest.fixture
def function(tmp_path, monkeypatch):
    """A function in a file of its own, whose machine code goes to a folder of its own."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "of_a_test.py").write_text("def double(x):\n    return 2 * x\n")
    spec = importlib.util.spec_from_file_location("of_a_test", tmp_path / "of_a_test.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.double


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize("keep", [None, 0, 20, 99])
def test_damaged_files_in_the_cache_are_compiled_anew(function, tmp_path, ending, keep):
    assert compile.jit(function)(21) == 42
    (file,) = (tmp_path / "cache").rglob(f"*{ending}")
    whole = file.read_bytes()
    file.write_bytes(b"garbage" * 99 if keep is None else whole[:keep])
    assert compile.jit(function)(21) == 42
    assert len(file.read_bytes()) == len(whole)  # for the next run
    again = compile.jit(function)
    assert again(21) == 42 and sum(again.stats.cache_hits.values()) == 1


def test_a_full_disk_for_the_cache_is_said_once_and_stops_nothing(function, monkeypatch, capfd):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    for _ in range(2):
        assert compile.jit(function)(21) == 42
    said = [line for line in capfd.readouterr().err.splitlines() if "cannot be kept" in line]
    assert len(said) == 1 and said[0].endswith(": No space left on device")


def test_other_peoples_code_without_a_module_compiles():
    names = {"__name__": None}
    exec("def double(x):\n    return 2 * x", names)
    assert names["double"].__module__ is None
    assert numba.njit(names["double"])(21) == 42


PLAIN = [*CASES[norm], *CASES[pool], *CASES[images], *CASES[dropout], *CASES[updates][2:], *PLAIN_VARIANTS]


def test_plain_kernels_run_without_numba(tmp_path):
    """`NUMBA_DISABLE_JIT=1`, for a debugger; same results as compiled."""
    file = tmp_path / "results.npz"
    program = (
        "import importlib.util, sys, numpy as np\n"
        f"spec = importlib.util.spec_from_file_location('plain', {__file__!r})\n"
        "plain = importlib.util.module_from_spec(spec); spec.loader.exec_module(plain)\n"
        f"np.savez({str(file)!r}, *[a for case in plain.PLAIN for a in case()])\n"
    )
    run(program, NUMBA_DISABLE_JIT="1")
    compiled = [np.asarray(a) for case in PLAIN for a in case()]
    with np.load(file) as results:
        plain = [results[name] for name in results.files]
    assert len(plain) == len(compiled)
    for ours, theirs in zip(plain, compiled, strict=True):
        assert ours.dtype == theirs.dtype and np.allclose(ours, theirs, rtol=1e-5, atol=1e-6)


VECTORS = """
import kernel_cases, threading
for case in (kernel_cases.adam_step, kernel_cases.correlate, kernel_cases.winograd_forward):
    try:
        case()
    except NotImplementedError as error:
        print(error)
print(threading.active_count())
"""


def test_kernels_of_vectors_say_that_they_cannot():
    *messages, threads = run(VECTORS, NUMBA_DISABLE_JIT="1")[0].splitlines()
    assert [message.split(" consists of ")[0] for message in messages] == [
        f"NUMBA_DISABLE_JIT=1: the kernel {name}" for name in ("_adam", "_correlate", "_transform_kernel")
    ]
    said = "unset the variable, or step through the same calculation in NumPy with TINYCNN_KERNELS=reference"
    assert all(message.endswith(said) for message in messages) and threads == "1"
