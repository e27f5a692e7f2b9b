"""benchmarks/ladder.py runs, and what it prints about every rung is true where it can be checked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

LADDER = Path(__file__).parents[1] / "benchmarks" / "ladder.py"
ROOT = str(LADDER.parents[1])


def test_every_rung_computes_the_same(tmp_path):
    picture = tmp_path / "ladder.png"
    done = subprocess.run(
        [sys.executable, str(LADDER), "--quick", "--json", "--out", str(picture)],
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = {row["rung"]: row for row in json.loads(done.stdout)["8x8x32 to 32"]}
    names = ["Python loops", "NumPy windows", "NumPy im2col", "NumPy views", "numba loops", "numba im2col"]
    names += ["register tile", "Winograd 2x2", "Winograd 4x4"]
    assert list(rows)[: len(names)] == names
    for name, row in rows.items():
        assert 0 < row["error"] < (1e-4 if name == "Winograd 4x4" else 1e-5), name  # float32, and not float64
        assert row["forward_ms"] > 0 and row["gradients_ms"] > 0
        assert row["scaled"] == (name == "Python loops")
    assert rows["NumPy im2col"]["extra_mb"] >= 1e-6 * 4 * 2 * 8 * 8 * 9 * 32  # at least the matrix
    assert rows["numba loops"]["extra_mb"] < 0.01
    done = {name: row["multiplications"] for name, row in rows.items()}
    assert done["register tile"] == 9 * 32 and done["Winograd 2x2"] == 4 * 32 and done["Winograd 4x4"] == 9 / 4 * 32
    assert picture.read_bytes().startswith(b"\x89PNG")
