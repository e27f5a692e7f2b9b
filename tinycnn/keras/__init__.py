"""Keras's names and its way of writing, over tinycnn's own: ``from tinycnn import keras``.

A script for `Sequential` models, or for functional ones whose paths fork and meet, runs with its imports changed::

    from tinycnn import keras
    from tinycnn.keras import layers

What differs is said where it differs: accuracy is the one metric, images are NHWC, and `Model` takes one input and one
output.  As in Keras, and unlike elsewhere in tinycnn, bytes are the numbers 0 to 255; `layers.Rescaling` scales them.
"""

from tinycnn.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
