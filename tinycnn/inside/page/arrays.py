"""Arrays for the page: exact, packed, each once, and none that the page can work out from another without rounding."""

import base64
import hashlib
import zlib
from typing import Any

import numpy as np


class Arrays:
    """The arrays of one page; what `add` returns is an array's number there.

    Attributes
    ----------
    entries : list of dict
        For each number, JSON-able: its ``size`` and either a ``rule`` by which the page gets it from other arrays, or
        the ``type`` ("f4", "f8", "i4") of the packed one, which is the next of `packed`.
    packed : list of str

    Examples
    --------
    >>> arrays = Arrays()
    >>> z = np.float32([[-1, 2]])
    >>> before = arrays.add(z)
    >>> arrays.add(np.maximum(z, 0), rule="relu", of=before), arrays.add(z.reshape(2)), len(arrays.packed)
    (1, 0, 1)
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.packed: list[str] = []
        self._known: dict[bytes, int] = {}

    def add(self, array: np.ndarray, rule: str = "", **details: Any) -> int:
        """The number of `array`: an old one if the same bytes are there, whatever their shape.

        Parameters
        ----------
        array : ndarray of float or int
        rule : str
            How the page works it out, which the caller has checked: see ``arrays.js``.
        **details
            What the rule needs, JSON-able.
        """
        array = _portable(array)
        digest = hashlib.sha256(array.dtype.str.encode() + array.tobytes()).digest()
        if digest not in self._known:
            self._known[digest] = len(self.entries)
            how = {"rule": rule, **details} if rule else {"type": array.dtype.str[1:]}
            self.entries.append({"size": array.size, **how})
            if not rule:
                self.packed.append(pack(array))
        return self._known[digest]


def pack(array: np.ndarray) -> str:
    """Base64 of the zlib stream of an array's bytes: the first bytes of all numbers, then all second ones, and so on.

    The exponents, which are alike, so lie side by side, and take half their place.

    >>> zlib.decompress(base64.b64decode(pack(np.float32([1, 2])))).hex(" ", 2)
    '0000 0000 8000 3f40'
    """
    array = _portable(array)
    planes = array.reshape(-1).view(np.uint8).reshape(-1, array.itemsize).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode()


def _portable(array: np.ndarray) -> np.ndarray:
    """In the order of rows, little end first, whole numbers in 32 bits."""
    kind = "i4" if array.dtype.kind in "iu" else f"f{array.itemsize}"
    return np.ascontiguousarray(array, dtype=f"<{kind}")
