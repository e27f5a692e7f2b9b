"""Images in: folders and zips, augmentation, splits, stripping of metadata."""

from tinycnn.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
