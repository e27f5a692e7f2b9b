"""How the workers of the pool share a kernel's work: the one loop that all plain kernels have in common."""

import numba

from tinycnn.kernels.simd import fetch_add


@numba.njit(nogil=True)
def drawn(counter, tasks):
    """The task numbers below `tasks` that this worker draws: ``for task in drawn(counter, tasks)``.

    All workers draw from one `counter`, so each number goes to one of them, and a core that is held up draws less.
    """
    while True:
        task = fetch_add(counter, 1)
        if task >= tasks:
            return
        yield task


@numba.njit(nogil=True)
def part(chunk, chunks, size):
    """First and one past the last of the elements of `size` that belong to `chunk` of `chunks` about equal ones."""
    return chunk * size // chunks, (chunk + 1) * size // chunks
