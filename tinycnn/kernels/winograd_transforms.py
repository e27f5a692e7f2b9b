"""Winograd's one-dimensional transforms for 4 and for 2 outputs, as few additions as possible, on vectors of channels.

With the interpolation points 0, 1, -1, 2, -2, infinity (4 outputs) or 0, 1, -1, infinity (2 outputs), Lavin and Gray
(arXiv:1509.09308) give B^T (`input_1d`), A^T (`output_1d`) and G (`KERNEL`); the adjoints are their transposes.  The
constants cost accuracy in float32: about one digit for 4 outputs (4, 5, 8 and 1/24), next to nothing for 2.
`tinycnn.reference_winograd` writes the same matrices out.
"""

import numpy as np
from numba.extending import overload

KERNEL = {
    4: np.array([[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
                 [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]),
    2: np.array([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]),
}  # fmt: skip
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
    return (4.0 * m0, 4.0 * near_odd + 2.0 * far_odd + 4.0 * m5, -5.0 * m0 - 4.0 * near - far,
            -1.0 * near_odd - 2.0 * far_odd - 5.0 * m5, m0 + near + far, m5)  # fmt: skip


def _input_adjoint_2(t):
    m0, m1, m2, m3 = t
    return m0, m1 - m2 + m3, m1 + m2 - m0, -1.0 * m3


def input_1d(t):
    """B^T t: 6 vectors to 6, or 4 to 4."""
    return _input_4(t) if len(t) == 6 else _input_2(t)


def output_1d(t):
    """A^T t: 6 vectors to 4, or 4 to 2."""
    return _output_4(t) if len(t) == 6 else _output_2(t)


def output_adjoint_1d(t):
    """A t: 4 vectors to 6, or 2 to 4."""
    return _output_adjoint_4(t) if len(t) == 4 else _output_adjoint_2(t)


def input_adjoint_1d(t):
    """B t: 6 vectors to 6, or 4 to 4."""
    return _input_adjoint_4(t) if len(t) == 6 else _input_adjoint_2(t)


def _by_length(function, long, variants):
    # numba compiles a call for one length of tuple and must not see the code for the other
    @overload(function, inline="always")
    def choose(t):
        return variants[0] if t.count == long else variants[1]


_by_length(input_1d, 6, (_input_4, _input_2))
_by_length(output_1d, 6, (_output_4, _output_2))
_by_length(output_adjoint_1d, 4, (_output_adjoint_4, _output_adjoint_2))
_by_length(input_adjoint_1d, 6, (_input_adjoint_4, _input_adjoint_2))
