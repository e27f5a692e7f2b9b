"""Keras's names of the regularizers."""

from tinycnn.lazy import missing
from tinycnn.regularizers import L1L2, get, l1, l2

__getattr__ = missing(__name__)

L1, L2, l1_l2 = l1, l2, L1L2

__all__ = ["L1", "L1L2", "L2", "get", "l1", "l1_l2", "l2"]
