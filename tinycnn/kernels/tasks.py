"""How the work of a plain kernel is cut into tasks, whatever the number of threads that draw them."""

from tinycnn.kernels.runtime import jit


@jit
def part(chunk, chunks, size):
    """First and one past the last of the elements of `size` that belong to `chunk` of `chunks` about equal ones."""
    return chunk * size // chunks, (chunk + 1) * size // chunks
