"""One layer a file, forward and backward side by side."""

from tinycnn.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
