"""The one GEMM tile that all heavy kernels share, written down in LLVM's instructions.

What it multiplies is described by addresses (`simd.at`) and steps, in numbers of the array.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from tinycnn.kernels.simd import (
    FMA_FLAGS,
    INDEX,
    LANES,
    MR,
    NR,
    broadcast,
    intrinsic,
    llvm_scalar,
    llvm_vector,
    read,
    write,
)


def _opaque(builder, pointer):
    """The same pointer, of unknown origin to the optimiser.

    LLVM would otherwise keep one running pointer per row of A, more than there are registers, and spend half of the
    tile's time on spilling them; so it has to use one pointer and constant row offsets.
    """
    identity = ir.FunctionType(pointer.type, [pointer.type])
    return builder.asm(identity, "", "=r,0", [pointer], side_effect=False)


class Left(NamedTuple):
    """The left factor A: its row i begins ``i * row`` after `start`, and number k of a row ``k * step`` after that."""

    start: Any
    row: int
    step: int


class Runs(NamedTuple):
    """How the sum walks along A: in `number` runs of `length` numbers, run t beginning ``taps[t]`` after the first."""

    taps: Any
    number: int
    length: int


class Right(NamedTuple):
    """The right factor B: row k begins ``k * row`` after `start`."""

    start: Any
    row: int


class Out(NamedTuple):
    """The product C: row i begins ``i * row`` after `start`."""

    start: Any
    row: int


@intrinsic
def one_run(typing_context, length):
    """`Runs` of a plain matrix product: rows of A are `length` numbers long and have no gaps."""
    runs = types.Tuple((types.CPointer(types.int64), types.int64, types.int64))

    def generate(context, builder, sig, args):
        return context.make_tuple(builder, runs, [cgutils.alloca_once_value(builder, INDEX(0)), INDEX(1), args[0]])

    return runs(types.int64), generate


@intrinsic
def gemm_tile(typing_context, left, runs, right, out, rows, cols, add):
    """One register tile of a matrix product, `rows` <= MR by `cols` <= NR::

        out.start[i*out.row + j]  (+)=  sum over t < runs.number, k < runs.length of
            left.start[runs.taps[t] + i*left.row + k*left.step] * right.start[(t*runs.length + k)*right.row + j]

    The taps are what makes it a convolution: each run starts at its own offset in A, so that the rows of an NHWC image
    are read in place and no im2col matrix exists.  A plain product is `one_run`.  The accumulators stay in registers
    from the first k to the last; each k costs NR/LANES loads of B and `rows` broadcasts of A for MR*NR/LANES fused
    multiply-adds.

    B must be readable NR columns wide.  Rows past `rows` read the last valid row again and are not stored, so
    nothing outside A or C is touched.  `add` adds to C instead of overwriting it.
    """
    scalar = left[0].dtype
    sig = types.void(left, runs, right, out, types.intp, types.intp, types.boolean)

    def generate(context, builder, sig, args):
        (A, a_row, a_k), (taps, n_taps, run), (B, b_k), (C, c_row) = (
            cgutils.unpack_tuple(builder, a) for a in args[:4]
        )
        rows_, cols_, add_ = args[4:]
        number, vector = llvm_scalar(scalar), llvm_vector(scalar)
        align, width = scalar.bitwidth // 8, NR // LANES
        zero = ir.Constant(vector, None)
        last = builder.sub(rows_, INDEX(1))
        row_offset = []
        for i in range(MR):
            inside = builder.icmp_signed("<", INDEX(i), rows_)
            row_offset.append(builder.mul(builder.select(inside, INDEX(i), last), a_row))

        accumulators = [[cgutils.alloca_once(builder, vector) for _ in range(width)] for _ in range(MR)]
        for row in accumulators:
            for slot in row:
                builder.store(zero, slot)
        a_slot = cgutils.alloca_once(builder, number.as_pointer())
        b_slot = cgutils.alloca_once(builder, number.as_pointer())
        builder.store(B, b_slot)
        with cgutils.for_range(builder, n_taps) as loop:
            offset = builder.load(builder.gep(taps, [loop.index]))
            builder.store(builder.gep(A, [offset]), a_slot)
            with cgutils.for_range(builder, run):
                a_pointer = _opaque(builder, builder.load(a_slot))
                b_pointer = builder.load(b_slot)
                columns = [
                    read(builder, builder.gep(b_pointer, [INDEX(j * LANES)]), vector, align) for j in range(width)
                ]
                for i in range(MR):
                    element = broadcast(builder, builder.load(builder.gep(a_pointer, [row_offset[i]])), vector)
                    for j in range(width):
                        slot = accumulators[i][j]
                        product = builder.fmul(element, columns[j], flags=FMA_FLAGS)
                        total = builder.fadd(builder.load(slot), product, flags=FMA_FLAGS)
                        builder.store(total, slot)
                builder.store(builder.gep(a_pointer, [a_k]), a_slot)
                builder.store(builder.gep(b_pointer, [b_k]), b_slot)

        with builder.if_else(builder.icmp_signed("==", cols_, INDEX(NR))) as (whole, part):
            with whole:
                for i in range(MR):
                    with builder.if_then(builder.icmp_signed("<", INDEX(i), rows_), likely=True):
                        row = builder.gep(C, [builder.mul(INDEX(i), c_row)])
                        for j in range(width):
                            pointer = builder.gep(row, [INDEX(j * LANES)])
                            old = builder.select(add_, read(builder, pointer, vector, align), zero)
                            write(builder, builder.fadd(old, builder.load(accumulators[i][j])), pointer, align)
            with part:
                tile = cgutils.alloca_once(builder, ir.ArrayType(number, MR * NR))
                first = builder.bitcast(tile, number.as_pointer())
                for i in range(MR):
                    for j in range(width):
                        value = builder.load(accumulators[i][j])
                        write(builder, value, builder.gep(first, [INDEX(i * NR + j * LANES)]), align)
                with cgutils.for_range(builder, rows_) as row:
                    target = builder.mul(row.index, c_row)
                    with cgutils.for_range(builder, cols_) as column:
                        pointer = builder.gep(C, [builder.add(target, column.index)])
                        position = builder.add(builder.mul(row.index, INDEX(NR)), column.index)
                        old = builder.select(add_, builder.load(pointer), ir.Constant(number, 0.0))
                        builder.store(builder.fadd(old, builder.load(builder.gep(first, [position]))), pointer)
        return context.get_dummy_value()

    return sig, generate
