"""Which images and which software a run was made with."""

import hashlib
import importlib.metadata
import os
import platform
from typing import Any

import numpy as np

from tinycnn.data.dataset import Dataset


def dataset_hash(*datasets: Dataset | None) -> str:
    """SHA-256 over images, labels and class names: the same hash means that a network saw the same numbers.

    The images are hashed as decoded and resized, so another size, or another Pillow, gives another hash.

    Parameters
    ----------
    *datasets : Dataset or None
        None, for a missing test set, is left out.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for data in datasets:
        if data is not None:
            digest.update(repr((data.class_names, data.images.shape)).encode())
            digest.update(np.ascontiguousarray(data.images).data)
            digest.update(np.ascontiguousarray(data.labels, "<i8").data)
    return digest.hexdigest()


def environment() -> dict[str, Any]:
    """Versions of Python and of what tinycnn stands on, the machine, and the number of threads, as texts and ints."""
    from tinycnn import __version__
    from tinycnn.kernels.runtime import get_num_threads

    versions = {"tinycnn": __version__, "python": platform.python_version()}
    for package in ("numpy", "numba", "llvmlite", "pillow", "matplotlib"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # vendored or frozen: nothing to read the version from
            versions[package] = "unknown"
    machine = {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}
    return {"versions": versions, "machine": machine, "threads": get_num_threads()}
