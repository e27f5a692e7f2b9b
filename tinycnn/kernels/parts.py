"""Parts of a vector, as the ends of rows need them, and what a vector's lanes come to: an addition to `simd`."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from tinycnn.kernels.simd import INDEX, LANES, Vector, broadcast, intrinsic, itemsize, llvm_vector, pointer_to


def first_lanes(builder: Any, count: Any) -> Any:
    """Which lanes of a vector come before `count`, as LLVM's mask."""
    lanes = ir.Constant(ir.VectorType(INDEX, LANES), list(range(LANES)))
    return builder.icmp_signed("<", lanes, broadcast(builder, count, lanes.type))


def _masked(builder, name, result, arguments, vector):
    """Call LLVM's masked load or store of `vector`: lanes that are left out do not touch memory."""
    kind = f"v{LANES}f{'32' if vector.element == ir.FloatType() else '64'}"
    function = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"{name}.{kind}.p0"), arguments)


def read_where(builder: Any, pointer: Any, vector: ir.Type, align: int, mask: Any) -> Any:
    """`read` of the lanes in `mask` only; the others are zero."""
    pointer = builder.bitcast(pointer, vector.as_pointer())
    arguments = [pointer, ir.IntType(32)(align), mask, ir.Constant(vector, None)]
    return _masked(builder, "llvm.masked.load", vector, arguments, vector)


def write_where(builder: Any, value: Any, pointer: Any, align: int, mask: Any) -> Any:
    """`write` of the lanes in `mask` only."""
    pointer = builder.bitcast(pointer, value.type.as_pointer())
    return _masked(
        builder, "llvm.masked.store", ir.VoidType(), [value, pointer, ir.IntType(32)(align), mask], value.type
    )


def sum_of_lanes(builder: Any, value: Any) -> Any:
    """The sum of a vector's lanes: of its halves, of their halves, and so on."""
    count = LANES
    while count > 1:
        count //= 2
        halves = [
            builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(ir.IntType(32), count), list(lanes)))
            for lanes in (range(count), range(count, 2 * count))
        ]
        value = builder.fadd(*halves)
    return builder.extract_element(value, ir.IntType(32)(0))


@intrinsic
def widen(typing_context, value):
    """A vector's numbers in float64."""
    wide = Vector(types.float64)

    def generate(context, builder, sig, args):
        return args[0] if sig.args[0] == wide else builder.fpext(args[0], llvm_vector(types.float64))

    return wide(value), generate


@intrinsic
def load_part(typing_context, array, i, count):
    """`load` of the first `count` lanes; the others are zero, and their memory is not touched."""
    vector = Vector(array.dtype)

    def generate(context, builder, sig, args):
        pointer, mask = pointer_to(context, builder, array, *args[:2]), first_lanes(builder, args[2])
        return read_where(builder, pointer, llvm_vector(array.dtype), itemsize(array), mask)

    return vector(array, types.intp, types.intp), generate


@intrinsic
def store_part(typing_context, array, i, value, count):
    """`store` of the first `count` lanes."""

    def generate(context, builder, sig, args):
        pointer, mask = pointer_to(context, builder, array, *args[:2]), first_lanes(builder, args[3])
        write_where(builder, args[2], pointer, itemsize(array), mask)
        return context.get_dummy_value()

    return types.void(array, types.intp, value, types.intp), generate
