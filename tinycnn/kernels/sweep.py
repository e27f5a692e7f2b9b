"""One pass over flat arrays, element by element: the loop around an equation, and the vectors that it works on.

A new optimizer or element-wise function is one equation, its kernel of two lines, and the Python function that calls
it (see `updates`)::

    @inlined
    def _double(values, settings):
        x, = values
        return (settings[0] * x,)

    @jit
    def _double_all(worker, into, sources, settings, counter):
        sweep(_double, into, sources, settings, counter)

The kernel names its equation instead of being made from it by a function: numba finds a closure's machine code in its
cache only within the process that put it there.
"""

from numba import types
from numba.core import cgutils

from tinycnn.kernels.compile import inlined
from tinycnn.kernels.simd import LANES, Vector, intrinsic, itemsize, llvm_scalar, llvm_vector, pointer_to, read, write
from tinycnn.kernels.tasks import tasks

TASK = 1 << 14  # elements per task: long enough to hide drawing it, short enough to balance the cores


def _reader(kind, llvm_kind):
    """``read_each(arrays, i)``: from index i of every array a number or vector, as `kind` says, all as one tuple."""

    @intrinsic
    def read_each(typing_context, arrays, i):
        array, scalar = arrays.dtype, arrays.dtype.dtype
        result = types.UniTuple(kind(scalar), len(arrays))

        def generate(context, builder, sig, args):
            values = []
            for source in cgutils.unpack_tuple(builder, args[0]):
                pointer = pointer_to(context, builder, array, source, args[1])
                values.append(read(builder, pointer, llvm_kind(scalar), itemsize(array)))
            return context.make_tuple(builder, result, values)

        return result(arrays, types.intp), generate

    return read_each


_vectors, _numbers = _reader(Vector, llvm_vector), _reader(lambda scalar: scalar, llvm_scalar)


@intrinsic
def _write_each(typing_context, arrays, i, values):
    """The way back: ``values[k]``, a number or a vector, to index i of ``arrays[k]``."""

    def generate(context, builder, sig, args):
        array, (targets, values_) = arrays.dtype, (cgutils.unpack_tuple(builder, args[k]) for k in (0, 2))
        for target, value, kind in zip(targets, values_, values, strict=False):
            if not isinstance(kind, Vector):  # an equation with a literal in it makes float64 of a float32
                value = context.cast(builder, value, kind, array.dtype)
            write(builder, value, pointer_to(context, builder, array, target, args[1]), itemsize(array))
        return context.get_dummy_value()

    return types.void(arrays, types.intp, values), generate


@inlined
def sweep(equation, into, sources, settings, counter):
    """``into[0][i], into[1][i], ... = equation((sources[0][i], sources[1][i], ...), settings)`` for every i.

    In vectors as far as they go, then number by number: `equation`, an `inlined` function, serves both.  `into` and
    `sources` are tuples of flat arrays of one dtype and size, and may share some.
    """
    size = into[0].size
    for task in tasks(counter, -(-size // TASK)):
        sweep_part(equation, into, sources, settings, task * TASK, min((task + 1) * TASK, size))


@inlined
def sweep_part(equation, into, sources, settings, start, stop):
    """`sweep` for ``start <= i < stop``, by whoever calls it."""
    whole = start + (stop - start) // LANES * LANES
    for i in range(start, whole, LANES):
        _write_each(into, i, equation(_vectors(sources, i), settings))
    for i in range(whole, stop):
        _write_each(into, i, equation(_numbers(sources, i), settings))
