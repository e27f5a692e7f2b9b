"""What campaigns share: values that do not belong where they are put."""

import json
import math
import os
import resource
import select
import signal
from pathlib import Path

import numpy as np

NONSENSE = [None, True, False, 0, 1, -1, 2, 3.5, 10**8, 3 * 10**8, 10**30, -(10**30), 1e300, math.nan, math.inf]
NONSENSE += ["", "a", "relu", "softmax", "same", "\n<b>", "\x00", [], [[]], [1], [0, 0], [2, -1], ["a", None], {}]
NONSENSE += [{"class": "Dense", "config": {"units": 10**8}}, {"class": "Residual", "config": {}}]


def places(tree, path=()):
    """Yield the path of every value in a tree of dicts and lists."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def spoiled(tree, rng):
    """A copy of the JSON-able `tree` in which one value is nonsense, gone, doubled or very deep."""
    tree = json.loads(json.dumps(tree))
    paths = list(places(tree))
    *path, key = paths[rng.integers(len(paths))]
    owner = tree
    for step in path:
        owner = owner[step]
    kind = rng.integers(10)
    if kind == 0:
        del owner[key]
    elif kind == 1 and isinstance(owner, list):
        owner.append(owner[key])
    elif kind == 2:
        for _ in range(rng.integers(2, 400)):
            owner[key] = [owner[key]] if rng.integers(2) else {"class": "Residual", "config": {"branch": [owner[key]]}}
    else:
        owner[key] = NONSENSE[rng.integers(len(NONSENSE))]
    return tree


def spoiled_arrays(arrays, rng):
    """A copy of a dict of arrays in which one has another type, shape or value, another name, or is gone."""
    arrays = dict(arrays)
    key = list(arrays)[rng.integers(len(arrays))]
    array = arrays.pop(key)
    kind = rng.integers(8)
    if kind == 0:
        return arrays
    if kind == 1:
        return {**arrays, key + "x": array}
    if kind == 2:
        array = array.astype(rng.choice(["f2", "i1", "c8", "U3", "M8[s]", "?", ">f8", "u8"]))
    elif kind == 3:
        array = array.reshape(-1)[: rng.integers(array.size + 1)]
    elif kind == 4:
        array = np.array(array, np.float64)
        array.reshape(-1)[rng.integers(array.size) if array.size else slice(0)] = rng.choice([np.nan, np.inf, 1e300])
    elif kind == 5:
        array = array[None]
    elif kind == 6:
        array = np.asfortranarray(array)
    else:
        array = np.zeros((0, *array.shape), array.dtype)
    return {**arrays, key: array}


def bits_turned(data, rng, most=3):
    """`data` with up to `most` bits turned over, bytes cut off, or a piece doubled."""
    data = bytearray(data)
    kind = rng.integers(8)
    if kind == 0:
        return bytes(data[: rng.integers(len(data))])
    if kind == 1:
        start = rng.integers(len(data))
        return bytes(data[:start] + data[start : start + rng.integers(1, 200)] + data[start:])
    for _ in range(rng.integers(1, most + 1)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(data)


def peak_bytes():
    """The most memory that this process has had so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def limit_memory(more_bytes):
    """From now on this process may ask for so many bytes more than it has."""
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + more_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))


def in_a_child(work, seconds=20):
    """The text, or None, that ``work()`` gives in a forked copy of this process, which may crash or hang."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            signal.alarm(0)
            os.write(writing, (work() or "").encode(errors="replace")[:60_000])
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, "rb") as pipe:
        late = not select.select([pipe], [], [], seconds)[0]
        if late:
            os.kill(child, signal.SIGKILL)
        text = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert not late, f"it took longer than {seconds} s"
    assert status >= 0, f"{signal.Signals(-status).name} ended it"
    assert status == 0, f"it ended with status {status}"
    return text or None
