"""The register tiles that all heavy kernels share, written down in LLVM's instructions.

What they multiply is described by addresses (`simd.at`) and steps, in numbers of the array.

    gemm_tile      MR rows by NR columns of a matrix product
    panel_tile     the same, or PANEL_ROWS rows by LANES columns where those would idle; and it finishes an output
    channel_tile   NARROW_ROWS rows of LANES channels, each channel by itself: depthwise convolution; or all times
                   one number: the kernel gradient of a few filters
    dot_tile       NARROW_ROWS sums over vectors of channels: convolution with a few filters
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from tinycnn.kernels.compile import inlined
from tinycnn.kernels.parts import first_lanes, read_where, sum_of_lanes, write_where
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

NARROW_ROWS = 12  # accumulators of a tile one vector wide: enough to hide how long a multiply-add takes
PANEL_ROWS = 16 if MR >= NARROW_ROWS else NARROW_ROWS  # `panel_tile`'s: 16 to 256 filters are whole tiles of 16
WIDE, NARROW = (0,) * (NR // LANES), (0,)  # tuples with as many zeros as a tile has vectors, which numba tells apart


def _opaque(builder, pointer):
    """The same pointer, of unknown origin to the optimiser.

    LLVM would otherwise keep one running pointer per row of A, more than there are registers, and spend half of the
    tile's time on spilling them; so it has to use one pointer and constant row offsets.
    """
    identity = ir.FunctionType(pointer.type, [pointer.type])
    return builder.asm(identity, "", "=r,0", [pointer], side_effect=False)


class Left(NamedTuple):
    """The left factor A: its row i begins ``i * row`` after `start`, and number k of a row ``k * step`` after that.

    `row` may also be the address of a table of int64: row i then begins ``row[i]`` after `start`.
    """

    start: Any
    row: Any
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
    """The product C: row i begins ``i * row`` after `start`, or ``row[i]`` if `row` is the address of a table."""

    start: Any
    row: Any


class Finish(NamedTuple):
    """What becomes of a product once its sum is whole: ``C + bias``, cut at zero if `relu`."""

    bias: Any
    """Address of one number per column; as many are read as there are columns."""
    relu: bool


@intrinsic
def one_run(typing_context, length):
    """`Runs` of a plain matrix product: rows of A are `length` numbers long and have no gaps."""
    runs = types.Tuple((types.CPointer(types.int64), types.int64, types.int64))

    def generate(context, builder, sig, args):
        return context.make_tuple(builder, runs, [cgutils.alloca_once_value(builder, INDEX(0)), INDEX(1), args[0]])

    return runs(types.int64), generate


def _tile(rows, vectors, left_lanes=False, right_lanes=True, dot=False):
    """LLVM's instructions for a tile of `rows` by `vectors` registers, as an intrinsic's ``generate``.

    A and B are read as one number for all lanes, or if `left_lanes`, `right_lanes`, as a vector of their own.  `dot`
    adds up the lanes of each row and stores one number.
    """
    most = vectors * LANES

    def generate(context, builder, sig, args):
        (A, a_row, a_k), (taps, n_taps, run), (B, b_k), (C, c_row) = (
            cgutils.unpack_tuple(builder, a) for a in args[:4]
        )
        rows_, cols_, add_ = args[4:7]
        scalar = sig.args[0][0].dtype
        number, vector, align = llvm_scalar(scalar), llvm_vector(scalar), scalar.bitwidth // 8
        zero = ir.Constant(vector, None)

        def operand(pointer, lanes):
            return read(builder, pointer, vector, align) if lanes else broadcast(builder, builder.load(pointer), vector)

        def begin(of, i, row):
            if isinstance(sig.args[of][1], types.CPointer):
                return builder.load(builder.gep(row, [i]))
            return builder.mul(i, row)

        last = builder.sub(rows_, INDEX(1))
        row_offset = []
        for i in range(rows):
            inside = builder.icmp_signed("<", INDEX(i), rows_)
            row_offset.append(begin(0, builder.select(inside, INDEX(i), last), a_row))

        accumulators = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
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
                columns = [operand(builder.gep(b_pointer, [INDEX(j * LANES)]), right_lanes) for j in range(vectors)]
                for i in range(rows):
                    element = operand(builder.gep(a_pointer, [row_offset[i]]), left_lanes)
                    for j in range(vectors):
                        slot = accumulators[i][j]
                        product = builder.fmul(element, columns[j], flags=FMA_FLAGS)
                        total = builder.fadd(builder.load(slot), product, flags=FMA_FLAGS)
                        builder.store(total, slot)
                builder.store(builder.gep(a_pointer, [a_k]), a_slot)
                builder.store(builder.gep(b_pointer, [b_k]), b_slot)

        finishes = len(args) > 7 and sig.args[7] != types.none
        bias: Any = None
        relu: Any = None
        if finishes:
            bias, relu = cgutils.unpack_tuple(builder, args[7])

        def finished(total, shift):
            """The product with its bias, and cut at zero if wanted."""
            if shift is None:
                return total
            total, nothing = builder.fadd(total, shift), ir.Constant(shift.type, None if shift.type == vector else 0.0)
            cut = builder.select(builder.fcmp_ordered("<=", total, nothing), nothing, total)
            return builder.select(builder.icmp_unsigned("!=", relu, relu.type(0)), cut, total)

        def put(pointer, total, shift, load, store, j):
            old = builder.select(add_, load(pointer, j), zero)
            store(finished(builder.fadd(old, total), shift), pointer, j)

        def shifts(load):
            return [load(builder.gep(bias, [INDEX(j * LANES)]), j) if finishes else None for j in range(vectors)]

        def whole_row(pointer, j):
            return read(builder, pointer, vector, align)

        if dot:
            shift = builder.load(bias) if finishes else None
            for i in range(rows):
                with builder.if_then(builder.icmp_signed("<", INDEX(i), rows_), likely=True):
                    total = sum_of_lanes(builder, builder.load(accumulators[i][0]))
                    builder.store(finished(total, shift), builder.gep(C, [begin(3, INDEX(i), c_row)]))
            return context.get_dummy_value()

        with builder.if_else(builder.icmp_signed("==", cols_, INDEX(most))) as (whole, part):
            with whole:
                shift = shifts(whole_row)
                for i in range(rows):
                    with builder.if_then(builder.icmp_signed("<", INDEX(i), rows_), likely=True):
                        row = builder.gep(C, [begin(3, INDEX(i), c_row)])
                        for j in range(vectors):
                            pointer, total = builder.gep(row, [INDEX(j * LANES)]), builder.load(accumulators[i][j])
                            put(pointer, total, shift[j], whole_row, lambda v, p, j: write(builder, v, p, align), j)
            with part:  # rare, so a loop: it is compiled faster
                tile = cgutils.alloca_once(builder, ir.ArrayType(vector, rows * vectors))
                first = builder.bitcast(tile, vector.as_pointer())
                for i in range(rows):
                    for j in range(vectors):
                        builder.store(builder.load(accumulators[i][j]), builder.gep(first, [INDEX(i * vectors + j)]))
                masks = [first_lanes(builder, builder.sub(cols_, INDEX(j * LANES))) for j in range(vectors)]

                def part_row(pointer, j):
                    return read_where(builder, pointer, vector, align, masks[j])

                shift = shifts(part_row)
                with cgutils.for_range(builder, rows_) as loop:
                    row = builder.gep(C, [begin(3, loop.index, c_row)])
                    for j in range(vectors):
                        place = builder.add(builder.mul(loop.index, INDEX(vectors)), INDEX(j))
                        pointer, total = builder.gep(row, [INDEX(j * LANES)]), builder.load(builder.gep(first, [place]))
                        put(
                            pointer,
                            total,
                            shift[j],
                            part_row,
                            lambda v, p, j: write_where(builder, v, p, align, masks[j]),
                            j,
                        )
        return context.get_dummy_value()

    return generate


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
    sig = types.void(left, runs, right, out, types.intp, types.intp, types.boolean)
    return sig, _tile(MR, NR // LANES)


@intrinsic
def panel_tile(typing_context, left, runs, right, out, rows, cols, add, finish, panel):
    """`gemm_tile` with as many columns as the tuple `panel` has vectors, and `tile_rows` rows; then `finish` if any.

    `finish` is a `Finish` or None.
    """
    sig = types.void(left, runs, right, out, types.intp, types.intp, types.boolean, finish, panel)
    return sig, _tile(MR if panel.count == len(WIDE) else PANEL_ROWS, panel.count)


@intrinsic
def channel_tile(typing_context, left, runs, right, out, rows, cols, add, finish, lanes):
    """`gemm_tile` for each channel j < `cols` <= LANES alone, `rows` <= NARROW_ROWS::

        out.start[i*out.row + j]  (+)=  sum over t, k of
            left.start[runs.taps[t] + i*left.row + k*left.step + j] * right.start[(t*runs.length + k)*right.row + j]

    A must be readable LANES numbers wide, like B.  With an empty tuple for `lanes`, not one of one number, B is the
    same for every channel: ``right.start[(t*runs.length + k)*right.row]``.
    """
    sig = types.void(left, runs, right, out, types.intp, types.intp, types.boolean, finish, lanes)
    return sig, _tile(NARROW_ROWS, 1, left_lanes=True, right_lanes=lanes.count > 0)


@intrinsic
def dot_tile(typing_context, left, runs, right, out, rows, finish):
    """Sums over vectors of channels, `rows` <= NARROW_ROWS::

    out.start[i*out.row]  =  finish of the sum over t, k and j < LANES of
        left.start[runs.taps[t] + i*left.row + k*left.step + j] * right.start[(t*runs.length + k)*right.row + j]
    """
    sig = types.void(left, runs, right, out, types.intp, finish)
    generate = _tile(NARROW_ROWS, 1, left_lanes=True, dot=True)
    whole = types.void(left, runs, right, out, types.intp, types.intp, types.boolean, finish)

    def dot(context, builder, sig, args):
        return generate(context, builder, whole, (*args[:5], INDEX(1), cgutils.false_bit, args[5]))

    return sig, dot


@inlined
def tile_rows(panel):
    """Rows of `panel_tile`."""
    return MR if len(panel) == len(WIDE) else PANEL_ROWS
