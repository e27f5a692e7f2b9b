"""Trainings killed at any moment and resumed: the same bytes as a run that nobody killed, and nothing left behind."""

import os
import signal
import time

from toys_training import bits, network, run

COUNT = 34  # of three kills each


def prepare(folder):
    start = time.monotonic()
    whole = bits(*run(folder / "whole.npz"))
    run(folder / "warm.npz")
    return folder, whole, time.monotonic() - start


def attack(subject, rng):
    folder, whole, seconds = subject
    path = folder / "run.npz"
    path.unlink(missing_ok=True)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                run(path, model=network(seed=9) if path.exists() else None, resume=path if path.exists() else None)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    resume = path if path.exists() else None
    assert bits(*run(path, model=network(seed=9) if resume else None, resume=resume)) == whole
    left = [name for name in os.listdir(folder) if name.startswith(".")]
    assert not left, f"left behind: {left}"
