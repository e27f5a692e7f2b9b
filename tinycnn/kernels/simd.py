"""Vectors of `LANES` numbers inside numba functions, and the one GEMM tile that all heavy kernels share.

numba has no vector type, so this module adds one: `load(a, i)` reads ``a[i : i + LANES]`` into a register,
``+ - * /`` work on it, `store` writes it back.  Arrays are one-dimensional and C-contiguous; nothing checks
bounds.  LLVM maps ``<8 x float>`` to one AVX2 register or to two NEON ones, and ``<16 x float>`` to one of
AVX-512, so the same source runs everywhere; in float64 a vector takes two registers.

The register tile (`MR` rows by `NR` columns of accumulators) is chosen for the host, see `_register_tile`.
"""

import math
import operator

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

INDEX = ir.IntType(64)
FMA_FLAGS = ("contract",)  # lets LLVM fuse a*b + c into one rounding; never reorders a sum


def _register_tile():
    """(LANES, MR, NR): MR x NR/LANES accumulators, NR/LANES columns of B and one broadcast of A fill the registers.

    AVX2 has 16 registers of 8 floats: 6 x 16 is 12 + 2 + 1.  AVX-512 has 32 of 16 floats: 12 x 32 is 24 + 2 + 1.
    NEON has 32 of 4 floats: 6 x 16 is 24 + 4 + 1.
    """
    features = llvmlite.binding.get_host_cpu_features()
    return (16, 12, 32) if features.get("avx512f") else (8, 6, 16)


LANES, MR, NR = _register_tile()


def aligned_empty(shape, dtype):
    """`numpy.empty` on a 64-byte boundary: a vector load never straddles two cache lines."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


# -- the vector type --------------------------------------------------------------------------------------------


class Vector(types.Type):
    """numba's name for ``<LANES x float>`` or ``<LANES x double>``."""

    def __init__(self, scalar):
        self.scalar = scalar
        super().__init__(name=f"Vector({scalar})")


def _llvm_scalar(scalar):
    return ir.FloatType() if scalar == types.float32 else ir.DoubleType()


def _llvm_vector(scalar):
    return ir.VectorType(_llvm_scalar(scalar), LANES)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, _llvm_vector(vector.scalar))


class _VectorArithmetic(AbstractTemplate):
    def generic(self, args, kws):
        a, b = args
        if isinstance(a, Vector) and (a == b or b in types.real_domain):
            return signature(a, a, b)
        if isinstance(b, Vector) and a in types.real_domain:
            return signature(b, a, b)


_INSTRUCTIONS = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}
for _operator in _INSTRUCTIONS:
    infer_global(_operator)(type(f"_Vector_{_operator.__name__}", (_VectorArithmetic,), {}))


@infer_global(math.sqrt)
class _VectorRoot(AbstractTemplate):
    def generic(self, args, kws):
        if isinstance(args[0], Vector):
            return signature(args[0], args[0])


def _broadcast(builder, value, vector):
    zero = ir.Constant(vector, None)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, zero, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _as_vector(context, builder, value, from_type, to_type):
    if isinstance(from_type, Vector):
        return value
    scalar = context.cast(builder, value, from_type, to_type.scalar)
    return _broadcast(builder, scalar, _llvm_vector(to_type.scalar))


def _lower_arithmetic(instruction):
    def lower(context, builder, sig, args):
        a = _as_vector(context, builder, args[0], sig.args[0], sig.return_type)
        b = _as_vector(context, builder, args[1], sig.args[1], sig.return_type)
        return getattr(builder, instruction)(a, b, flags=FMA_FLAGS)

    return lower


for _operator, _instruction in _INSTRUCTIONS.items():
    for _left, _right in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector)):
        lower_builtin(_operator, _left, _right)(_lower_arithmetic(_instruction))


@lower_builtin(math.sqrt, Vector)
def _lower_root(context, builder, sig, args):
    vector = args[0].type
    name = f"llvm.sqrt.v{LANES}f{sig.return_type.scalar.bitwidth}"
    root = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name)
    return builder.call(root, args)


# -- memory ------------------------------------------------------------------------------------------------------


def _element(context, builder, array_type, array, index):
    """Pointer to ``array[index]``."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _itemsize(array_type):
    return array_type.dtype.bitwidth // 8


def _read(builder, pointer, vector, align):
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=align)


def _write(builder, value, pointer, align):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align)


@intrinsic
def load(typing_context, array, i):
    """``array[i : i + LANES]`` as a vector."""
    vector = Vector(array.dtype)

    def generate(context, builder, sig, args):
        return _read(builder, _element(context, builder, array, *args), _llvm_vector(array.dtype), _itemsize(array))

    return vector(array, types.intp), generate


@intrinsic
def store(typing_context, array, i, value):
    """``array[i : i + LANES] = value``."""

    def generate(context, builder, sig, args):
        _write(builder, args[2], _element(context, builder, array, *args[:2]), _itemsize(array))
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def load_strided(typing_context, array, i, step, like):
    """The tuple of vectors at ``i, i + step, i + 2*step, ...``, as many as the tuple `like` has elements."""
    vector = Vector(array.dtype)

    def generate(context, builder, sig, args):
        array_, i_, step_, _ = args
        pointer = _element(context, builder, array, array_, i_)
        vectors = []
        for _ in range(like.count):
            vectors.append(_read(builder, pointer, _llvm_vector(array.dtype), _itemsize(array)))
            pointer = builder.gep(pointer, [step_])
        return context.make_tuple(builder, sig.return_type, vectors)

    return types.UniTuple(vector, like.count)(array, types.intp, types.intp, like), generate


@intrinsic
def store_strided(typing_context, array, i, step, values):
    """Store a tuple of vectors at ``i, i + step, i + 2*step, ...``."""

    def generate(context, builder, sig, args):
        array_, i_, step_, values_ = args
        pointer = _element(context, builder, array, array_, i_)
        for k in range(values.count):
            _write(builder, builder.extract_value(values_, k), pointer, _itemsize(array))
            pointer = builder.gep(pointer, [step_])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, values), generate


@intrinsic
def relu(typing_context, value):
    """max(value, 0) in every lane; NaN stays NaN, so that a broken network cannot hide behind its ReLUs."""

    def generate(context, builder, sig, args):
        zero = ir.Constant(args[0].type, None)
        return builder.select(builder.fcmp_ordered("<=", args[0], zero), zero, args[0])

    return value(value), generate


@intrinsic
def where_positive(typing_context, value, condition):
    """`value` in the lanes where `condition` is positive, zero in the others: ReLU's backward."""

    def generate(context, builder, sig, args):
        zero = ir.Constant(args[0].type, None)
        return builder.select(builder.fcmp_ordered(">", args[1], zero), args[0], zero)

    return value(value, condition), generate


DEAD = 4  # pooling code of a window whose maximum was cut off by the ReLU: no gradient passes


@intrinsic
def store_max4(typing_context, y, i, codes, j, v0, v1, v2, v3, with_relu):
    """Max-pool one 2x2 window per lane: ``y[i:]`` gets the maxima, ``codes[j:]`` (bytes) which of the four it was.

    The first of equal values wins and NaN wins over everything, as in PyTorch.  `with_relu` cuts the maximum at
    zero and marks the window `DEAD`: max(relu(v)) = relu(max(v)), so pooling first is the same and does less.
    """

    def generate(context, builder, sig, args):
        y_array, i_, code_array, j_, *values, with_relu_ = args
        wide = ir.VectorType(ir.IntType(32), LANES)
        best, code = values[0], ir.Constant(wide, [0] * LANES)
        for k in (1, 2, 3):
            better = builder.fcmp_ordered(">", values[k], best)
            better = builder.or_(better, builder.fcmp_unordered("uno", values[k], values[k]))
            best = builder.select(better, values[k], best)
            code = builder.select(better, ir.Constant(wide, [k] * LANES), code)
        zero = ir.Constant(best.type, None)
        dead = builder.fcmp_ordered("<=", best, zero)
        flag = builder.trunc(with_relu_, ir.IntType(1)) if with_relu_.type.width > 1 else with_relu_
        cut = builder.select(dead, zero, best)
        cut_code = builder.select(dead, ir.Constant(wide, [DEAD] * LANES), code)
        best = builder.select(flag, cut, best)
        code = builder.select(flag, cut_code, code)
        _write(builder, best, _element(context, builder, y, y_array, i_), _itemsize(y))
        narrow = builder.trunc(code, ir.VectorType(ir.IntType(8), LANES))
        _write(builder, narrow, _element(context, builder, codes, code_array, j_), 1)
        return context.get_dummy_value()

    return types.void(y, types.intp, codes, types.intp, v0, v1, v2, v3, types.boolean), generate


@intrinsic
def load_where_code(typing_context, grad, i, codes, j, k):
    """``grad[i : i + LANES]`` in the lanes whose pooling code is `k`, zero in the others: max-pool's backward."""
    vector = Vector(grad.dtype)

    def generate(context, builder, sig, args):
        grad_array, i_, code_array, j_, k_ = args
        bytes_ = ir.VectorType(ir.IntType(8), LANES)
        grad_pointer = _element(context, builder, grad, grad_array, i_)
        value = _read(builder, grad_pointer, _llvm_vector(grad.dtype), _itemsize(grad))
        code = _read(builder, _element(context, builder, codes, code_array, j_), bytes_, 1)
        wanted = _broadcast(builder, builder.trunc(k_, ir.IntType(8)), bytes_)
        return builder.select(builder.icmp_unsigned("==", code, wanted), value, ir.Constant(value.type, None))

    return vector(grad, types.intp, codes, types.intp, types.intp), generate


@intrinsic
def fetch_add(typing_context, counter, step):
    """Add `step` to ``counter[0]`` atomically and return the old value: how workers draw their next task."""

    def generate(context, builder, sig, args):
        pointer = _element(context, builder, sig.args[0], args[0], INDEX(0))
        return builder.atomic_rmw("add", pointer, args[1], "monotonic")

    return types.intp(counter, types.intp), generate


def _opaque(builder, pointer):
    """The same pointer, of unknown origin to the optimiser.

    LLVM would otherwise keep one running pointer per row of A, more than there are registers, and spend half of the
    tile's time on spilling them; so it has to use one pointer and constant row offsets.
    """
    identity = ir.FunctionType(pointer.type, [pointer.type])
    return builder.asm(identity, "", "=r,0", [pointer], side_effect=False)


# -- the GEMM tile ----------------------------------------------------------------------------------------------


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
        A, types.intp, types.intp, types.intp, taps, types.intp, types.intp, types.intp,
        B, types.intp, types.intp, C, types.intp, types.intp, types.intp, types.intp, types.boolean,
    )  # fmt: skip

    def generate(context, builder, sig, args):
        A_, a_, a_row_, a_k_, taps_, tap_, n_taps_, run_, B_, b_, b_k_, C_, c_, c_row_, rows_, cols_, add_ = args
        number, vector = _llvm_scalar(scalar), _llvm_vector(scalar)
        align, width = _itemsize(A), NR // LANES
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
        builder.store(_element(context, builder, B, B_, b_), b_slot)
        with cgutils.for_range(builder, n_taps_) as loop:
            offset = builder.load(_element(context, builder, taps, taps_, builder.add(tap_, loop.index)))
            builder.store(_element(context, builder, A, A_, builder.add(a_, offset)), a_slot)
            with cgutils.for_range(builder, run_):
                a_pointer = _opaque(builder, builder.load(a_slot))
                b_pointer = builder.load(b_slot)
                columns = [
                    _read(builder, builder.gep(b_pointer, [INDEX(j * LANES)]), vector, align) for j in range(width)
                ]
                for i in range(MR):
                    element = _broadcast(builder, builder.load(builder.gep(a_pointer, [row_offset[i]])), vector)
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
                        row = _element(context, builder, C, C_, builder.add(c_, builder.mul(INDEX(i), c_row_)))
                        for j in range(width):
                            pointer = builder.gep(row, [INDEX(j * LANES)])
                            old = builder.select(add_, _read(builder, pointer, vector, align), zero)
                            _write(builder, builder.fadd(old, builder.load(accumulators[i][j])), pointer, align)
            with part:
                tile = cgutils.alloca_once(builder, ir.ArrayType(number, MR * NR))
                first = builder.bitcast(tile, number.as_pointer())
                for i in range(MR):
                    for j in range(width):
                        value = builder.load(accumulators[i][j])
                        _write(builder, value, builder.gep(first, [INDEX(i * NR + j * LANES)]), align)
                with cgutils.for_range(builder, rows_) as row:
                    target = builder.add(c_, builder.mul(row.index, c_row_))
                    with cgutils.for_range(builder, cols_) as column:
                        pointer = _element(context, builder, C, C_, builder.add(target, column.index))
                        position = builder.add(builder.mul(row.index, INDEX(NR)), column.index)
                        old = builder.select(add_, builder.load(pointer), ir.Constant(number, 0.0))
                        builder.store(builder.fadd(old, builder.load(builder.gep(first, [position]))), pointer)
        return context.get_dummy_value()

    return sig, generate
