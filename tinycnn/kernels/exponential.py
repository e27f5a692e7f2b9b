"""The exponential function in vectors, and what activations make of it: tanh and the logistic function.

With n the whole number nearest to x / ln 2 and r = x - n ln 2, so that ``|r| <= ln(2) / 2``::

    exp(x) = 2^n exp(r),    exp(r) = 1 + r + r^2 / 2! + r^3 / 3! + ...

of which so many terms are summed that the rest is below the rounding.  2^n is made of its bits, and
``exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1)`` keeps its digits near x = 0.
"""

import math
from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from tinycnn.kernels.simd import FMA_FLAGS, LANES, Vector, intrinsic


class Format(NamedTuple):
    """What the bits of a float mean, and how its exponential is taken."""

    bits: int
    mantissa: int
    bias: int
    terms: int
    """So many of the series."""
    high: float
    """ln 2 in so few digits that a product with n is exact."""
    low: float
    """The rest of ln 2."""


FORMATS = {
    types.float32: Format(32, 23, 127, 7, 355 / 512, math.log(2) - 355 / 512),
    types.float64: Format(64, 52, 1023, 13, 6.93147180369123816490e-01, 1.90821492927058770002e-10),
}


def _like(value, number):
    """Python's `number` as a constant of the type of `value`, in every lane of a vector."""
    return ir.Constant(value.type, [number] * LANES if isinstance(value.type, ir.VectorType) else number)


def _binary(builder, name):
    """An instruction whose second operand may be a Python number."""
    flags = {"flags": FMA_FLAGS} if name.startswith("f") else {}
    instruction = getattr(builder, name)
    return lambda a, b: instruction(a, b if isinstance(b, ir.Value) else _like(a, b), **flags)


def _call(builder, name, *operands):
    """LLVM's function of that name, of numbers or vectors."""
    kind = operands[0].type
    element = kind.element if isinstance(kind, ir.VectorType) else kind
    shape = f"v{LANES}" if isinstance(kind, ir.VectorType) else ""
    suffix = f"{shape}f{32 if element == ir.FloatType() else 64}"
    function = ir.FunctionType(kind, [kind] * len(operands))
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.{suffix}"), operands)


def _exponential(builder, x, numbers):
    """``exp(-|x|)``, or 0 for |x| > `bias` ln 2, and ``exp(-|x|) - 1``, which is -1 there; `numbers` is a `Format`."""
    add, sub, mul = (_binary(builder, name) for name in ("fadd", "fsub", "fmul"))
    least = _like(x, -numbers.bias * math.log(2))
    x = mul(_call(builder, "fabs", x), -1.0)
    x = builder.select(builder.fcmp_ordered("<", x, least), least, x)
    shift = 1.5 * 2.0**numbers.mantissa  # so large that the last bit of a sum counts ones
    shifted = add(mul(x, 1 / math.log(2)), shift)
    n = sub(shifted, shift)
    r = sub(sub(x, mul(n, numbers.high)), mul(n, numbers.low))
    series = _like(x, 1 / math.factorial(numbers.terms))
    for k in range(numbers.terms - 1, 0, -1):
        series = add(mul(series, r), 1 / math.factorial(k))
    integer = ir.IntType(numbers.bits)
    whole = ir.VectorType(integer, LANES) if isinstance(x.type, ir.VectorType) else integer
    exponent = _binary(builder, "add")(builder.bitcast(shifted, whole), numbers.bias)
    power = builder.bitcast(_binary(builder, "shl")(exponent, numbers.mantissa), x.type)
    part = mul(power, mul(series, r))  # 2^n (exp(r) - 1)
    return add(part, power), add(part, sub(power, 1.0))


@intrinsic
def tanh(typing_context, x):
    """tanh of a number or of each lane: ``(1 - e) / (1 + e)`` with ``e = exp(-2|x|)``, and the sign of x."""

    def generate(context, builder, sig, args):
        add, mul = (_binary(builder, name) for name in ("fadd", "fmul"))
        less = _exponential(builder, mul(args[0], 2.0), _format(x))[1]
        size = _binary(builder, "fdiv")(mul(less, -1.0), add(less, 2.0))
        return _call(builder, "copysign", size, args[0])

    return x(x), generate


@intrinsic
def sigmoid(typing_context, x):
    """``1 / (1 + exp(-x))``, as ``(1 if x >= 0 else e) / (1 + e)`` with ``e = exp(-|x|)``."""

    def generate(context, builder, sig, args):
        e = _exponential(builder, args[0], _format(x))[0]
        above = builder.fcmp_ordered(">=", args[0], _like(args[0], 0.0))
        return _binary(builder, "fdiv")(builder.select(above, _like(e, 1.0), e), _binary(builder, "fadd")(e, 1.0))

    return x(x), generate


def _format(kind):
    return FORMATS[kind.scalar if isinstance(kind, Vector) else kind]
