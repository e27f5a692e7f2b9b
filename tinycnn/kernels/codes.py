"""Max-pooling in vectors: the larger values, and for each a byte, its code, that says where in its window it was."""

from llvmlite import ir
from numba import types
from numba.core import cgutils

from tinycnn.kernels.simd import (
    LANES,
    Vector,
    broadcast,
    intrinsic,
    itemsize,
    llvm_vector,
    pointer_to,
    read,
    write,
)

DEAD = 4  # pooling code of a window whose maximum was cut off by the ReLU: no gradient passes


@intrinsic
def where_larger(typing_context, a, b, x, y):
    """`x` where a > b or a is NaN, else `y`, in every lane: max-pool, of which the first of equal values wins."""

    def generate(context, builder, sig, args):
        a, b, x, y = args
        return builder.select(_beats(builder, a, b), x, y)

    return x(a, b, x, y), generate


def _beats(builder, a, b):
    return builder.or_(builder.fcmp_ordered(">", a, b), builder.fcmp_unordered("uno", a, a))


@intrinsic
def store_bytes(typing_context, array, i, value):
    """``array[i : i + LANES] = value`` of bytes, from a vector of whole numbers."""

    def generate(context, builder, sig, args):
        bytes_ = builder.fptoui(args[2], ir.VectorType(ir.IntType(32), LANES))
        bytes_ = builder.trunc(bytes_, ir.VectorType(ir.IntType(8), LANES))
        write(builder, bytes_, pointer_to(context, builder, array, *args[:2]), 1)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def store_max4(typing_context, y, codes, i, values, with_relu):
    """Max-pool one 2x2 window per lane: ``y[i:]`` gets the largest of four vectors, ``codes[i:]`` (bytes) which it was.

    The first of equal values wins and NaN wins over everything, as in PyTorch.  `with_relu` cuts the maximum at
    zero and marks the window `DEAD`: max(relu(v)) = relu(max(v)), so pooling first is the same and does less.  NaN
    stays NaN, but is not positive: its window is dead too, as for `where_positive`.
    """

    def generate(context, builder, sig, args):
        y_array, code_array, i_, values_, with_relu_ = args
        wide = ir.VectorType(ir.IntType(32), LANES)
        candidates = cgutils.unpack_tuple(builder, values_)
        best, code = candidates[0], ir.Constant(wide, [0] * LANES)
        for k in (1, 2, 3):
            better = _beats(builder, candidates[k], best)
            best = builder.select(better, candidates[k], best)
            code = builder.select(better, ir.Constant(wide, [k] * LANES), code)
        zero = ir.Constant(best.type, None)
        flag = builder.trunc(with_relu_, ir.IntType(1)) if with_relu_.type.width > 1 else with_relu_
        dead = builder.select(builder.fcmp_unordered("<=", best, zero), ir.Constant(wide, [DEAD] * LANES), code)
        cut = builder.select(builder.fcmp_ordered("<=", best, zero), zero, best)
        code, best = builder.select(flag, dead, code), builder.select(flag, cut, best)
        write(builder, best, pointer_to(context, builder, y, y_array, i_), itemsize(y))
        narrow = builder.trunc(code, ir.VectorType(ir.IntType(8), LANES))
        write(builder, narrow, pointer_to(context, builder, codes, code_array, i_), 1)
        return context.get_dummy_value()

    return types.void(y, codes, types.intp, values, types.boolean), generate


@intrinsic
def load_where_code(typing_context, grad, codes, i, k):
    """``grad[i : i + LANES]`` in the lanes whose pooling code is `k`, zero in the others: max-pool's backward."""
    vector = Vector(grad.dtype)

    def generate(context, builder, sig, args):
        grad_array, code_array, i_, k_ = args
        bytes_ = ir.VectorType(ir.IntType(8), LANES)
        value = read(
            builder, pointer_to(context, builder, grad, grad_array, i_), llvm_vector(grad.dtype), itemsize(grad)
        )
        code = read(builder, pointer_to(context, builder, codes, code_array, i_), bytes_, 1)
        wanted = broadcast(builder, builder.trunc(k_, ir.IntType(8)), bytes_)
        return builder.select(builder.icmp_unsigned("==", code, wanted), value, ir.Constant(value.type, None))

    return vector(grad, codes, types.intp, types.intp), generate
