"""Vectors of `LANES` numbers inside numba functions: arithmetic, loads and stores.

numba has no vector type, so this module adds one: `load(a, i)` reads ``a[i : i + LANES]`` into a register,
``+ - * /`` work on it, `store` writes it back.  Arrays are one-dimensional and C-contiguous; nothing checks
bounds.  LLVM maps ``<8 x float>`` to one AVX2 register or to two NEON ones, and ``<16 x float>`` to one of
AVX-512, so the same source runs everywhere; in float64 a vector takes two registers.

How many numbers a vector has is chosen in `tiles`.
"""

import math
import operator
from typing import Any

import numba.extending
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import models, register_model

from tinycnn.kernels.aligned import LINE
from tinycnn.kernels.tiles import L2 as L2
from tinycnn.kernels.tiles import LANES as LANES
from tinycnn.kernels.tiles import MR as MR
from tinycnn.kernels.tiles import NR as NR

intrinsic: Any = numba.extending.intrinsic  # whose own annotation asks callers for the typing context, too
INDEX = ir.IntType(64)
FMA_FLAGS = ("contract",)  # lets LLVM fuse a*b + c into one rounding; never reorders a sum


class Vector(types.Type):
    """numba's name for ``<LANES x float>`` or ``<LANES x double>``."""

    def __init__(self, scalar: types.Type) -> None:
        self.scalar = scalar
        super().__init__(name=f"Vector({scalar})")


def llvm_scalar(scalar: types.Float) -> ir.Type:
    """LLVM's type for numba's float32 or float64."""
    return ir.FloatType() if scalar == types.float32 else ir.DoubleType()


def llvm_vector(scalar: types.Float) -> ir.Type:
    """LLVM's type for `LANES` of them."""
    return ir.VectorType(llvm_scalar(scalar), LANES)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, llvm_vector(vector.scalar))


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


def broadcast(builder: Any, value: Any, vector: ir.Type) -> Any:
    """A vector of type `vector` with `value` in every lane."""
    zero = ir.Constant(vector, None)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, zero, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _as_vector(context, builder, value, from_type, to_type):
    if isinstance(from_type, Vector):
        return value
    scalar = context.cast(builder, value, from_type, to_type.scalar)
    return broadcast(builder, scalar, llvm_vector(to_type.scalar))


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


def pointer_to(context: Any, builder: Any, array_type: types.Type, array: Any, index: Any) -> Any:
    """Pointer to ``array[index]``."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def itemsize(array_type: types.Array) -> int:
    """Bytes of one number."""
    return array_type.dtype.bitwidth // 8  # type: ignore[attr-defined]  # of a Float


def read(builder: Any, pointer: Any, vector: ir.Type, align: int) -> Any:
    """The vector of type `vector` at `pointer`, which is a multiple of `align` bytes."""
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=align)


def write(builder: Any, value: Any, pointer: Any, align: int) -> Any:
    """The way back; the store instruction."""
    return builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align)


@intrinsic
def at(typing_context, array, i):
    """The address of ``array[i]``, a plain number: cheap to hand on, and `array` has to be kept alive elsewhere."""

    def generate(context, builder, sig, args):
        return pointer_to(context, builder, array, *args)

    return types.CPointer(array.dtype)(array, types.intp), generate


@intrinsic
def load(typing_context, array, i):
    """``array[i : i + LANES]`` as a vector."""
    vector = Vector(array.dtype)

    def generate(context, builder, sig, args):
        return read(builder, pointer_to(context, builder, array, *args), llvm_vector(array.dtype), itemsize(array))

    return vector(array, types.intp), generate


@intrinsic
def store(typing_context, array, i, value):
    """``array[i : i + LANES] = value``."""

    def generate(context, builder, sig, args):
        write(builder, args[2], pointer_to(context, builder, array, *args[:2]), itemsize(array))
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def zero(typing_context, array, start, count):
    """``array[start : start + count] = 0`` as one call to memset: numba takes seconds to compile the slice."""

    def generate(context, builder, sig, args):
        array_, start_, count_ = args
        size = builder.mul(count_, INDEX(itemsize(array)))
        cgutils.memset(builder, pointer_to(context, builder, array, array_, start_), size, 0)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


@intrinsic
def copy(typing_context, target, i, source, j, count):
    """``target[i : i + count] = source[j : j + count]`` as one call to memcpy, for arrays of one dtype."""

    def generate(context, builder, sig, args):
        target_, i_, source_, j_, count_ = args
        to, start = (pointer_to(context, builder, *where) for where in ((target, target_, i_), (source, source_, j_)))
        cgutils.raw_memcpy(builder, to, start, count_, itemsize(target))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), generate


@intrinsic
def stream(typing_context, target, i, source, j, count):
    """`copy` past the caches: `target` is not read first, as a store to memory that is not in a cache does.

    For arrays of one dtype, and results that nobody reads soon.  The processor may finish these stores late; the
    atomic instruction with which a worker draws its next task waits for them.  Where vectors do not fit, a plain copy.
    """

    def generate(context, builder, sig, args):
        target_, i_, source_, j_, count_ = args
        vector, bytes_ = llvm_vector(target.dtype), itemsize(target) * LANES
        to, start = (pointer_to(context, builder, *where) for where in ((target, target_, i_), (source, source_, j_)))
        odd = builder.or_(builder.ptrtoint(to, INDEX), builder.mul(count_, INDEX(itemsize(target))))
        fits = builder.icmp_unsigned("==", builder.and_(odd, INDEX(bytes_ - 1)), INDEX(0))
        with builder.if_else(fits) as (vectors, part):
            with vectors, cgutils.for_range_slice(builder, INDEX(0), count_, INDEX(LANES), intp=INDEX) as (k, _):
                value = read(builder, builder.gep(start, [k]), vector, itemsize(target))
                instruction = write(builder, value, builder.gep(to, [k]), bytes_)
                instruction.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
            with part:
                cgutils.raw_memcpy(builder, to, start, count_, itemsize(target))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), generate


@intrinsic
def transpose_square(typing_context, source, i, i_row, target, j, j_row):
    """``target[j + b*j_row + a] = source[i + a*i_row + b]`` for a, b < `LANES`, without leaving the registers.

    Each round interleaves row k with row k + LANES/2; after log2(LANES) rounds the square is transposed.
    """

    def generate(context, builder, sig, args):
        source_, i_, i_row_, target_, j_, j_row_ = args
        vector, align, half = llvm_vector(source.dtype), itemsize(source), LANES // 2
        start, to = pointer_to(context, builder, source, source_, i_), pointer_to(context, builder, target, target_, j_)
        at = [builder.gep(start, [builder.mul(i_row_, INDEX(k))]) for k in range(LANES)]
        rows = [read(builder, pointer, vector, align) for pointer in at]
        pairs = [[lane for k in range(first, first + half) for lane in (k, LANES + k)] for first in (0, half)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes) for lanes in pairs]
        for _ in range(LANES.bit_length() - 1):
            rows = [builder.shuffle_vector(rows[k], rows[k + half], mask) for k in range(half) for mask in masks]
        for k, row in enumerate(rows):
            write(builder, row, builder.gep(to, [builder.mul(j_row_, INDEX(k))]), align)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


@intrinsic
def prefetch(typing_context, array, start, count):
    """Ask for ``array[start : start + count]`` to be brought to the second-level cache, and do not wait for it."""

    def generate(context, builder, sig, args):
        array_, start_, count_ = args
        first = builder.bitcast(pointer_to(context, builder, array, array_, start_), ir.IntType(8).as_pointer())
        size = builder.mul(count_, INDEX(itemsize(array)))
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [first.type, number, number, number])
        request = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        with cgutils.for_range_slice(builder, INDEX(0), size, INDEX(LINE), intp=INDEX) as (offset, _):
            builder.call(request, [builder.gep(first, [offset]), number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


@intrinsic
def filled(typing_context, array, number):
    """A vector for numbers of `array`, with `number` in every lane."""
    vector = Vector(array.dtype)

    def generate(context, builder, sig, args):
        return _as_vector(context, builder, args[1], number, vector)

    return vector(array, number), generate


@intrinsic
def relu(typing_context, value):
    """max(value, 0), in every lane of a vector; NaN stays NaN: a broken network cannot hide behind its ReLUs."""

    def generate(context, builder, sig, args):
        zero = ir.Constant(args[0].type, None)
        return builder.select(builder.fcmp_ordered("<=", args[0], zero), zero, args[0])

    return value(value), generate


@intrinsic
def widen(typing_context, value):
    """A vector of float32 as one of float64; one of float64 as it is."""
    wide = Vector(types.float64)

    def generate(context, builder, sig, args):
        return args[0] if value == wide else builder.fpext(args[0], llvm_vector(types.float64))

    return wide(value), generate


@intrinsic
def narrow(typing_context, value, like):
    """The way back: a vector of float64, rounded to what `like` is a vector of."""

    def generate(context, builder, sig, args):
        return args[0] if value == like else builder.fptrunc(args[0], llvm_vector(like.scalar))

    return like(value, like), generate


@intrinsic
def rounded_product(typing_context, a, b):
    """a * b in every lane, rounded before anything is added to it."""

    def generate(context, builder, sig, args):
        return builder.fmul(*args)

    return a(a, b), generate


@intrinsic
def where_positive(typing_context, value, condition):
    """`value` where `condition` is positive, zero elsewhere, in every lane of a vector: ReLU's backward."""

    def generate(context, builder, sig, args):
        zero = ir.Constant(args[0].type, None)
        return builder.select(builder.fcmp_ordered(">", args[1], zero), args[0], zero)

    return value(value, condition), generate
