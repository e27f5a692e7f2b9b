"""The one GEMM tile that all heavy kernels share, written down in LLVM's instructions."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinycnn.kernels.simd import (
    FMA_FLAGS,
    INDEX,
    LANES,
    MR,
    NR,
    broadcast,
    itemsize,
    llvm_scalar,
    llvm_vector,
    pointer_to,
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


@intrinsic
def gemm_tile(typing_context, A, a, a_row, a_k, taps, tap, n_taps, run, B, b, b_k, C, c, c_row, rows, cols, add):
    """One register tile of a matrix product, `rows` <= MR by `cols` <= NR::

        C[c + i*c_row + j]  (+)=  sum over t < n_taps, k < run of
            A[a + taps[tap + t] + i*a_row + k*a_k] * B[b + (t*run + k)*b_k + j]

    `taps` is what makes it a convolution: K is walked in `n_taps` runs, each starting at its own offset in A, so
    that the rows of an NHWC image are read in place and no im2col matrix exists.  A plain product has one tap at
    offset 0.  The accumulators stay in registers from the first k to the last; each k costs NR/LANES loads of B
    and `rows` broadcasts of A for MR*NR/LANES fused multiply-adds.

    B must be readable NR columns wide.  Rows past `rows` read the last valid row again and are not stored, so
    nothing outside A or C is touched.  `add` adds to C instead of overwriting it.
    """
    scalar = A.dtype
    sig = types.void(
        A,
        types.intp,
        types.intp,
        types.intp,
        taps,
        types.intp,
        types.intp,
        types.intp,
        B,
        types.intp,
        types.intp,
        C,
        types.intp,
        types.intp,
        types.intp,
        types.intp,
        types.boolean,
    )

    def generate(context, builder, sig, args):
        A_, a_, a_row_, a_k_, taps_, tap_, n_taps_, run_, B_, b_, b_k_, C_, c_, c_row_, rows_, cols_, add_ = args
        number, vector = llvm_scalar(scalar), llvm_vector(scalar)
        align, width = itemsize(A), NR // LANES
        zero = ir.Constant(vector, None)
        last = builder.sub(rows_, INDEX(1))
        row_offset = []
        for i in range(MR):
            inside = builder.icmp_signed("<", INDEX(i), rows_)
            row_offset.append(builder.mul(builder.select(inside, INDEX(i), last), a_row_))

        accumulators = [[cgutils.alloca_once(builder, vector) for _ in range(width)] for _ in range(MR)]
        for row in accumulators:
            for slot in row:
                builder.store(zero, slot)
        a_slot = cgutils.alloca_once(builder, number.as_pointer())
        b_slot = cgutils.alloca_once(builder, number.as_pointer())
        builder.store(pointer_to(context, builder, B, B_, b_), b_slot)
        with cgutils.for_range(builder, n_taps_) as loop:
            offset = builder.load(pointer_to(context, builder, taps, taps_, builder.add(tap_, loop.index)))
            builder.store(pointer_to(context, builder, A, A_, builder.add(a_, offset)), a_slot)
            with cgutils.for_range(builder, run_):
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
                builder.store(builder.gep(a_pointer, [a_k_]), a_slot)
                builder.store(builder.gep(b_pointer, [b_k_]), b_slot)

        with builder.if_else(builder.icmp_signed("==", cols_, INDEX(NR))) as (whole, part):
            with whole:
                for i in range(MR):
                    with builder.if_then(builder.icmp_signed("<", INDEX(i), rows_), likely=True):
                        row = pointer_to(context, builder, C, C_, builder.add(c_, builder.mul(INDEX(i), c_row_)))
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
                    target = builder.add(c_, builder.mul(row.index, c_row_))
                    with cgutils.for_range(builder, cols_) as column:
                        pointer = pointer_to(context, builder, C, C_, builder.add(target, column.index))
                        position = builder.add(builder.mul(row.index, INDEX(NR)), column.index)
                        old = builder.select(add_, builder.load(pointer), ir.Constant(number, 0.0))
                        builder.store(builder.fadd(old, builder.load(builder.gep(first, [position]))), pointer)
        return context.get_dummy_value()

    return sig, generate
