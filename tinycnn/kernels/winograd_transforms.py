"""Winograd's one-dimensional transforms for 4 and for 2 outputs, as few additions as possible, on vectors of channels.

Each formula is plain Python: it takes a tuple of anything that adds and multiplies, so it can be tried on numbers.  For
the kernels it is called once, with stand-ins that emit an LLVM instruction for each ``+ - *``; numba would spend
seconds on typing and inlining the same lines.

With the interpolation points 0, 1, -1, 2, -2, infinity (4 outputs) or 0, 1, -1, infinity (2 outputs), Lavin and Gray
(arXiv:1509.09308) give B^T (`input_1d`), A^T (`output_1d`) and G (`kernel_1d`); the adjoints are their transposes.  The
constants cost accuracy in float32: about one digit for 4 outputs (4, 5, 8 and 1/24), next to nothing for 2.
`tinycnn.reference_winograd` derives the same matrices.
"""

from llvmlite import ir
from numba import types

from tinycnn.kernels.simd import FMA_FLAGS, LANES, intrinsic, itemsize, llvm_vector, pointer_to, read, write

SIDES = {4: (0,) * 6, 2: (0,) * 4}  # tuples as long as an input tile has rows


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


def _output_adjoint_4(t):
    y0, y1, y2, y3 = t
    even, odd = y0 + y2, y1 + y3
    far_even, far_odd = y0 + 4.0 * y2, 2.0 * y1 + 8.0 * y3
    return y0, even + odd, even - odd, far_even + far_odd, far_even - far_odd, y3


def _output_adjoint_2(t):
    y0, y1 = t
    return y0, y0 + y1, y0 - y1, -1.0 * y1


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


def _kernel_adjoint_4(t):
    u0, u1, u2, u3, u4, u5 = t
    near, far = 1 / 6 * (u1 + u2), 1 / 24 * (u3 + u4)
    return 1 / 4 * u0 - near + far, 1 / 6 * (u2 - u1) + 1 / 12 * (u3 - u4), 4.0 * far - near + u5


def _kernel_adjoint_2(t):
    u0, u1, u2, u3 = t
    even = 0.5 * (u1 + u2)
    return u0 + even, 0.5 * (u1 - u2), even + u3


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


def _transform(formulas, inputs=None):
    """``transform(source, i, step, target, j, target_step, like)``: `formulas[len(like)]` on vectors.

    Reads `inputs` (None: ``len(like)``) vectors at ``i, i + step, ...`` of `source` and writes the results to
    ``j, j + target_step, ...`` of `target`; all are read before the first is written.
    """

    @intrinsic
    def transform(typing_context, source, i, step, target, j, target_step, like):
        vector, align = llvm_vector(source.dtype), itemsize(source)

        def generate(context, builder, sig, args):
            source_, i_, step_, target_, j_, target_step_, _ = args
            pointer, vectors = pointer_to(context, builder, source, source_, i_), []
            for _ in range(inputs or like.count):
                vectors.append(_Traced(builder, read(builder, pointer, vector, align)))
                pointer = builder.gep(pointer, [step_])
            pointer = pointer_to(context, builder, target, target_, j_)
            for result in formulas[like.count](vectors):
                write(builder, result.value, pointer, align)
                pointer = builder.gep(pointer, [target_step_])
            return context.get_dummy_value()

        return types.void(source, types.intp, types.intp, target, types.intp, types.intp, like), generate

    return transform


input_1d = _transform({6: _input_4, 4: _input_2})  # B^T t: 6 vectors to 6, or 4 to 4
output_1d = _transform({6: _output_4, 4: _output_2})  # A^T t: 6 vectors to 4, or 4 to 2
output_adjoint_1d = _transform({4: _output_adjoint_4, 2: _output_adjoint_2})  # A t: 4 vectors to 6, or 2 to 4
input_adjoint_1d = _transform({6: _input_adjoint_4, 4: _input_adjoint_2})  # B t: 6 vectors to 6, or 4 to 4
kernel_1d = _transform({6: _kernel_4, 4: _kernel_2}, inputs=3)  # G t: 3 vectors to 6 or 4, as many as `like`
kernel_adjoint_1d = _transform({6: _kernel_adjoint_4, 4: _kernel_adjoint_2})  # G^T t: 6 vectors or 4 to 3
