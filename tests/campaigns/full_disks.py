"""Models, checkpoints, reports and pictures written where the disk is full after so many bytes: the old file stays."""

import os
import resource
import signal

import numpy as np
from toys import small_model
from toys_training import run

from tinycnn.ensemble import Ensemble
from tinycnn.files import read_json, write_json
from tinycnn.npz import read_npz

COUNT = 60


def write(kind, path, seed):
    if kind == 0:
        small_model(seed).save(path)
    elif kind == 1:
        write_json(path, {"numbers": np.random.default_rng(seed).normal(size=200)})
    elif kind == 2:
        run(path, epochs=1)
    else:
        Ensemble([small_model(seed)]).save(path.parent / "ensemble")


def prepare(folder):
    for kind in range(4):
        write(kind, folder / f"{kind}.npz", seed=0)
    return folder


def attack(folder, rng):
    kind, limit = int(rng.integers(4)), int(rng.integers(0, 4000))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    child = os.fork()
    if child == 0:  # the limit cannot be raised again, so it is another process's
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        code = 1
        try:
            write(kind, folder / f"{kind}.npz", seed=int(rng.integers(1, 99)))
            code = 0
        except OSError as error:
            code = 0 if str(folder) in str(error) and "could not write" in str(error) else 2
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, {1: "another error", 2: "the error does not name the file"}.get(code, f"exit {code}")
    after = {path for path in folder.rglob("*") if path.is_file()}
    left = [str(path) for path in after - before.keys() if path.name.startswith(".")]
    assert not left, f"left behind: {left}"
    Ensemble.load(folder / "ensemble")
    for other in range(3):
        path = folder / f"{other}.npz"
        changed = path.read_bytes() != before[path]
        assert not changed or other == kind, f"{path.name} was not the file to be written"
        read_json(path) if other == 1 else read_npz(path)  # whole, the old one or the new
