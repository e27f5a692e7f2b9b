"""tinycnn: a convolutional network you can read, in NumPy and numba, fast enough to keep.

Everything public is importable from here: ``tinycnn.Conv2D``, ``tinycnn.Sequential``, ``tinycnn.gradcheck``, ...
Where to start reading: `tinycnn.reference` (every kernel as plain loops), then `tinycnn.layers.conv`.

For research and teaching only, never for diagnosis.
"""

# Imported at once because a function and its module share the name: importing the module later would hide the function.
from tinycnn.gradcheck import gradcheck as gradcheck
from tinycnn.lazy import lazy_names

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_names(__name__)
