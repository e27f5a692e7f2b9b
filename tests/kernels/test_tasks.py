import numpy as np
import pytest

from tinycnn.kernels import runtime
from tinycnn.kernels.runtime import jit
from tinycnn.kernels.tasks import drawn, part


@jit
def _count(worker, counter, times):
    for task in drawn(counter, len(times)):
        times[task] += 1


@pytest.mark.parametrize("tasks", [0, 1, 2, 50_000])
def test_every_task_is_drawn_once(tasks):
    before, times = runtime.get_num_threads(), np.zeros(tasks, np.int64)
    try:
        runtime.set_num_threads(3)
        runtime.locked(runtime.run)(_count, runtime.task_counter(), times)
    finally:
        runtime.set_num_threads(before)
    assert (times == 1).all()


@pytest.mark.parametrize("size", [0, 1, 7, 63, 64, 1000])
@pytest.mark.parametrize("chunks", [1, 3, 64])
def test_parts_follow_each_other_and_are_about_equal(size, chunks):
    parts = [part(chunk, chunks, size) for chunk in range(chunks)]
    assert parts[0][0] == 0 and parts[-1][1] == size
    assert all(a[1] == b[0] for a, b in zip(parts, parts[1:], strict=False))
    assert {last - first for first, last in parts} <= {size // chunks, -(-size // chunks)}
