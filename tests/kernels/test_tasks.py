import threading

import numba
import numpy as np
import pytest

from tinycnn.kernels import runtime
from tinycnn.kernels.tasks import share, tasks


@numba.njit(nogil=True)
def draw(seen, counter, count):
    for task in tasks(counter, count):
        seen[task] += 1


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 129, 100_000])
def test_each_number_goes_to_one_of_several_threads(count):
    seen, counter = np.zeros(count + 1, np.int64), runtime.task_counter()
    draw(seen[:0], runtime.task_counter(), 0)  # compiled
    threads = [threading.Thread(target=draw, args=(seen, counter, count)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen[:-1] == 1).all() and seen[-1] == 0


@pytest.mark.parametrize("size, count", [(0, 3), (1, 4), (10, 3), (64, 64), (5001, 64)])
def test_shares_follow_one_another_and_are_even(size, count):
    bounds = [share.py_func(size, part, count) for part in range(count)]
    assert bounds[0][0] == 0 and bounds[-1][1] == size
    assert all(before[1] == after[0] for before, after in zip(bounds, bounds[1:], strict=False))
    sizes = {stop - start for start, stop in bounds}
    assert max(sizes) - min(sizes) <= 1
