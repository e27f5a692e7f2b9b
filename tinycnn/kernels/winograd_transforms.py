"""Winograd's one-dimensional transforms: 4 or 2 outputs of 3 taps, 2 of 5, as few additions as possible, on vectors.

Each formula is plain Python: it takes a tuple of anything that adds and multiplies, so it can be tried on numbers.  For
the kernels it is called once, with stand-ins that emit an LLVM instruction for each ``+ - *``; numba would spend
seconds on typing and inlining the same lines.

With the interpolation points 0, 1, -1, 2, -2, infinity (6 inputs) or 0, 1, -1, infinity (4 inputs), Lavin and Gray
(arXiv:1509.09308) give B^T (`input_1d`), A^T (`output_1d`) and G (`kernel_1d`); the adjoints are their transposes.  The
constants cost accuracy in float32: about one digit for 6 inputs (4, 5, 8 and 1/24), next to nothing for 4.
`tinycnn.reference_winograd` derives the same matrices.
"""

from llvmlite import ir
from numba import types

from tinycnn.kernels.simd import FMA_FLAGS, LANES, intrinsic, itemsize, llvm_vector, pointer_to, read, write


def rows_of(outputs: int, taps: int) -> tuple:
    """Two tuples of zeros, as many as a tile of inputs and one of outputs have rows, which numba tells apart."""
    return (0,) * (outputs + taps - 1), (0,) * outputs


def _input_4(t):
    d0, d1, d2, d3, d4, d5 = t
    even, odd = d4 - 4.0 * d2, d3 - 4.0 * d1
    near, far = d4 - d2, 2.0 * (d3 - d1)
    return 4.0 * d0 - 5.0 * d2 + d4, even + odd, even - odd, near + far, near - far, 4.0 * d1 - 5.0 * d3 + d5


def _input_2(t):
    d0, d1, d2, d3 = t
    return d0 - d2, d1 + d2, d2 - d1, d1 - d3


def _output_4(t):
    m0, m1, m2, m3, m4, m5 = t
    near, far, near_odd, far_odd = m1 + m2, m3 + m4, m1 - m2, m3 - m4
    return m0 + near + far, near_odd + 2.0 * far_odd, near + 4.0 * far, near_odd + 8.0 * far_odd + m5


def _output_2(t):
    m0, m1, m2, m3 = t
    return m0 + m1 + m2, m1 - m2 - m3


def _output_2_of_5(t):
    m0, m1, m2, m3, m4, m5 = t
    return m0 + m1 + m2 + m3 + m4, m1 - m2 + 2.0 * (m3 - m4) + m5


def _output_adjoint_4(t):
    y0, y1, y2, y3 = t
    even, odd = y0 + y2, y1 + y3
    far_even, far_odd = y0 + 4.0 * y2, 2.0 * y1 + 8.0 * y3
    return y0, even + odd, even - odd, far_even + far_odd, far_even - far_odd, y3


def _output_adjoint_2(t):
    y0, y1 = t
    return y0, y0 + y1, y0 - y1, -1.0 * y1


def _output_adjoint_2_of_5(t):
    y0, y1 = t
    far = 2.0 * y1
    return y0, y0 + y1, y0 - y1, y0 + far, y0 - far, y1


def _input_adjoint_4(t):
    m0, m1, m2, m3, m4, m5 = t
    near, far, near_odd, far_odd = m1 + m2, m3 + m4, m2 - m1, m4 - m3
    return (
        4.0 * m0,
        4.0 * near_odd + 2.0 * far_odd + 4.0 * m5,
        -5.0 * m0 - 4.0 * near - far,
        -1.0 * near_odd - 2.0 * far_odd - 5.0 * m5,
        m0 + near + far,
        m5,
    )


def _input_adjoint_2(t):
    m0, m1, m2, m3 = t
    return m0, m1 - m2 + m3, m1 + m2 - m0, -1.0 * m3


def _kernel_4(t):
    g0, g1, g2 = t
    even, odd = -1 / 6 * (g0 + g2), 1 / 6 * g1
    far_even, far_odd = 1 / 24 * g0 + 1 / 6 * g2, 1 / 12 * g1
    return 1 / 4 * g0, even - odd, even + odd, far_even + far_odd, far_even - far_odd, g2


def _kernel_2(t):
    g0, g1, g2 = t
    even, odd = 0.5 * (g0 + g2), 0.5 * g1
    return g0, even + odd, even - odd, g2


def _kernel_2_of_5(t):
    g0, g1, g2, g3, g4 = t
    even, odd = -1 / 6 * (g0 + g2 + g4), 1 / 6 * (g1 + g3)
    far_even, far_odd = 1 / 24 * g0 + 1 / 6 * g2 + 2 / 3 * g4, 1 / 12 * g1 + 1 / 3 * g3
    return 1 / 4 * g0, even - odd, even + odd, far_even + far_odd, far_even - far_odd, g4


def _kernel_adjoint_4(t):
    u0, u1, u2, u3, u4, u5 = t
    near, far = 1 / 6 * (u1 + u2), 1 / 24 * (u3 + u4)
    return 1 / 4 * u0 - near + far, 1 / 6 * (u2 - u1) + 1 / 12 * (u3 - u4), 4.0 * far - near + u5


def _kernel_adjoint_2(t):
    u0, u1, u2, u3 = t
    even = 0.5 * (u1 + u2)
    return u0 + even, 0.5 * (u1 - u2), even + u3


def _kernel_adjoint_2_of_5(t):
    u0, u1, u2, u3, u4, u5 = t
    near, far, near_odd, far_odd = 1 / 6 * (u1 + u2), 1 / 24 * (u3 + u4), 1 / 6 * (u2 - u1), 1 / 12 * (u3 - u4)
    last = 16.0 * far - near + u5
    return 1 / 4 * u0 - near + far, near_odd + far_odd, 4.0 * far - near, near_odd + 4.0 * far_odd, last


class _Traced:
    """A vector in a formula that is written down as LLVM instructions while Python evaluates it."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def _emit(self, instruction, other):
        other = other.value if isinstance(other, _Traced) else ir.Constant(self.value.type, [other] * LANES)
        return _Traced(self.builder, getattr(self.builder, instruction)(self.value, other, flags=FMA_FLAGS))

    def __add__(self, other):
        return self._emit("fadd", other)

    def __sub__(self, other):
        return self._emit("fsub", other)

    def __rmul__(self, factor):
        return self._emit("fmul", factor)


def _transform(formulas, inputs):
    """``transform(source, i, step, target, j, target_step, like)``: the formula for tiles like that, on vectors.

    Formulas are found by the rows of a tile of inputs and one of outputs.  Reads as many vectors as `inputs` makes of
    these two, at ``i, i + step, ...`` of `source`, and writes the results to ``j, j + target_step, ...`` of `target`;
    all are read before the first is written.
    """

    @intrinsic
    def transform(typing_context, source, i, step, target, j, target_step, like):
        vector, align, rows = llvm_vector(source.dtype), itemsize(source), tuple(side.count for side in like)

        def generate(context, builder, sig, args):
            source_, i_, step_, target_, j_, target_step_, _ = args
            pointer, vectors = pointer_to(context, builder, source, source_, i_), []
            for _ in range(inputs(*rows)):
                vectors.append(_Traced(builder, read(builder, pointer, vector, align)))
                pointer = builder.gep(pointer, [step_])
            pointer = pointer_to(context, builder, target, target_, j_)
            for result in formulas[rows](vectors):
                write(builder, result.value, pointer, align)
                pointer = builder.gep(pointer, [target_step_])
            return context.get_dummy_value()

        return types.void(source, types.intp, types.intp, target, types.intp, types.intp, like), generate

    return transform


def _variants(four_of_three, two_of_three, two_of_five):
    return {(6, 4): four_of_three, (4, 2): two_of_three, (6, 2): two_of_five}


def _all(inputs, outputs):
    return inputs


input_1d = _transform(_variants(_input_4, _input_2, _input_4), _all)  # B^T t
output_1d = _transform(_variants(_output_4, _output_2, _output_2_of_5), _all)  # A^T t
output_adjoint_1d = _transform(  # A t
    _variants(_output_adjoint_4, _output_adjoint_2, _output_adjoint_2_of_5), lambda inputs, outputs: outputs
)
input_adjoint_1d = _transform(_variants(_input_adjoint_4, _input_adjoint_2, _input_adjoint_4), _all)  # B t
kernel_1d = _transform(  # G t
    _variants(_kernel_4, _kernel_2, _kernel_2_of_5), lambda inputs, outputs: inputs - outputs + 1
)
kernel_adjoint_1d = _transform(_variants(_kernel_adjoint_4, _kernel_adjoint_2, _kernel_adjoint_2_of_5), _all)  # G^T t
