"""What is special about the set "reference"; its results are compared in test_im2col.py and test_plain_*.py."""

import sys

import numpy as np

from tinycnn.kernels import numpy_set
from tinycnn.kernels.geometry import Geometry
from tinycnn.kernels.sets import SETS


def test_a_debugger_sees_every_line_of_a_convolution():
    """Python's trace hook is what a debugger hangs on: it meets each kernel element, with its view of the image."""
    seen = []

    def trace(frame, event, argument):
        if frame.f_code is numpy_set.conv_forward.__code__:
            if event == "line" and "seen" in frame.f_locals:
                seen.append((frame.f_locals["k"], frame.f_locals["seen"].shape))
            return trace

    before = sys.gettrace()
    x, kernel = np.ones((2, 5, 6, 3)), np.ones((3, 2, 3, 4))
    geometry = Geometry((3, 2), (1, 1), ((1, 1), (0, 1)), (1, 1), 1)
    try:
        sys.settrace(trace)
        SETS["reference"]().conv_forward(x, kernel, None, geometry, np.empty((2, 5, 6, 4)))
    finally:
        sys.settrace(before)
    assert {k for k, _ in seen} == set(np.ndindex(3, 2)) and {shape for _, shape in seen} == {x.shape}


def test_every_function_is_python():
    """None is compiled: each has source lines that a debugger can stop at."""
    for function in filter(callable, SETS["reference"]()):
        assert function.__code__.co_filename == numpy_set.__file__
