"""One library in a process of its own: builds a network, and times steps when its parent asks.

Started by `peers.Peer`, not by hand.  Each line on standard input is a JSON command, each line on the original
standard output its JSON answer; whatever the libraries print goes to standard error.

    {"do": "setup", "network": as in `architectures`, "task": "train" | "predict", "threads": null}
    {"do": "run", "steps": 2}       -> {"seconds": [...], "cpu": [...], "value": last loss or first output}
    {"do": "memory"}                -> {"peak_mb": ..., "imported_mb": ...}
"""

import importlib
import json
import os
import resource
import sys
import time

import numpy as np


def megabytes():
    """Peak resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def run(step, steps):
    """Wall-clock and processor seconds of each of `steps` calls of `step`."""
    seconds, cpu = [], []
    for _ in range(steps):
        began, began_cpu = time.perf_counter(), time.process_time()
        value = step()
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
    return {"seconds": seconds, "cpu": cpu, "value": float(np.ravel(value)[0])}


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**content):
        answers.write(json.dumps(content) + "\n")

    library, options = sys.argv[1], json.loads(sys.argv[2])
    if library == "tinycnn":
        # scikit-learn, a peer of others, brings scipy along; where numba finds that, it imports it (16 MB).  An
        # installation of tinycnn has none.
        sys.modules["scipy"] = None
    began = time.perf_counter()
    try:
        worker = importlib.import_module(f"peer_{library}").Worker(options)
    except ImportError as error:
        answer(missing=str(error))
        return
    imported = megabytes()
    answer(import_s=time.perf_counter() - began, version=worker.version)
    for line in sys.stdin:
        command = json.loads(line)
        do = command.pop("do")
        try:
            if do == "setup":
                began = time.perf_counter()
                worker.setup(**command)
                step = getattr(worker, command["task"])
                answer(build_s=time.perf_counter() - began)
            elif do == "run":
                answer(**run(step, command["steps"]))
            elif do == "memory":
                answer(peak_mb=megabytes(), imported_mb=imported)
        except Exception as error:  # the parent decides what a failing peer means
            answer(failed=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
