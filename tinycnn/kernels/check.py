"""What a kernel takes on trust: compiled code that meets another dtype or shape reads and writes outside of arrays."""

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def check(caller: str, /, **arrays: tuple) -> None:
    """Every array must be C-contiguous, of the shape that is named with it and of the first one's dtype.

    Parameters
    ----------
    caller : str
        Who asks, for the message.
    arrays : ``name=(array, shape)`` or ``name=(array, shape, dtype)``
        An array of None is left out; a dtype of its own exempts an array from the first one's.

    Raises
    ------
    ValueError
        That names the array, what it is and what it should be.

    Examples
    --------
    >>> x, kernel = np.zeros((2, 3), np.float32), np.zeros((3, 4))
    >>> check("dense", x=(x, (2, 3)), kernel=(kernel, (3, 4)))
    Traceback (most recent call last):
        ...
    ValueError: dense: kernel is float64 and x is float32; give both one dtype, with astype
    """
    first = next(iter(arrays))
    dtype = arrays[first][0].dtype
    if dtype not in FLOATS:
        raise ValueError(f"{caller}: {first} is {dtype}, but must be float32 or float64")
    for name, expected in arrays.items():
        array, shape = expected[:2]
        wanted = expected[2] if len(expected) > 2 else dtype
        if array is None or (array.shape == shape and array.dtype == wanted and array.flags.c_contiguous):
            continue
        if array.shape != shape:
            raise ValueError(f"{caller}: {name} has shape {array.shape}, but must have shape {shape}")
        if not array.flags.c_contiguous:
            layout = f"shape {array.shape} with strides {array.strides}"
            raise ValueError(
                f"{caller}: {name} must be a C-contiguous array, got {layout}; numpy.ascontiguousarray copies it"
            )
        if len(expected) > 2:
            raise ValueError(f"{caller}: {name} is {array.dtype}, but must be {np.dtype(wanted)}")
        advice = "give both one dtype, with astype"
        raise ValueError(f"{caller}: {name} is {array.dtype} and {first} is {dtype}; {advice}")
