"""Which images, weights, software and processor a run was made with."""

import hashlib
import importlib.metadata
import os
import platform
from typing import Any

import numpy as np

from tinycnn.data.dataset import Dataset
from tinycnn.kernels.sets import get_kernels
from tinycnn.model import Sequential


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


def weights_hash(model: Sequential) -> str:
    """SHA-256 over names, shapes and bytes of all weights of `model`: the same hash means the same numbers.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for key, array in sorted(model.get_weights().items()):
        digest.update(repr((key, array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def environment() -> dict[str, Any]:
    """Software, processor, kernels and threads of this process: what must be equal for a run to give the same bytes.

    With the same seed and images,

    * the number of threads, the cores of the machine and a stop with a resume change no bit of the weights;
    * the **kernels** do (`set_kernels`, `set_winograd`), by rounding: they sum in another order;
    * the **register tile** does (``tile``, rows x columns): AVX-512 has another one than AVX2;
    * the **processor** may (``processor``, as LLVM calls it): where it fuses multiplication and addition, and in the
      functions of the system's mathematical library;
    * the **versions** may: of numpy (random numbers are promised only within one, matrix products are its BLAS's), of
      numba and llvmlite (the code they make), of Pillow (how images are decoded and resized), and of tinycnn.

    Returns
    -------
    dict
        ``versions``, by package; ``machine``: system, processor, cores; ``kernels``; ``tile``, or None
        for the reference set, which has none; ``threads``.

    Examples
    --------
    >>> sorted(environment())
    ['kernels', 'machine', 'threads', 'tile', 'versions']
    """
    from tinycnn import __version__
    from tinycnn.kernels.runtime import get_num_threads

    versions = {"tinycnn": __version__, "python": platform.python_version()}
    for package in ("numpy", "numba", "llvmlite", "pillow", "matplotlib"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # vendored or frozen: nothing to read the version from
            versions[package] = "unknown"
    kernels, processor, tile = get_kernels(), platform.machine(), None
    if kernels != "reference":
        import llvmlite.binding

        from tinycnn.kernels.simd import MR, NR

        processor, tile = f"{processor}, {llvmlite.binding.get_host_cpu_name()}", f"{MR} x {NR}"
    machine = {"system": platform.platform(), "processor": processor, "cores": os.cpu_count()}
    return {"versions": versions, "machine": machine, "kernels": kernels, "tile": tile, "threads": get_num_threads()}


def environment_line() -> str:
    """What of `environment` changes bits, in one line for a run's first words."""
    found = environment()
    versions = ", ".join(f"{name} {found['versions'][name]}" for name in ("python", "numpy", "numba"))
    tile = f", tile {found['tile']}" if found["tile"] else ""
    return f"{versions}; {found['machine']['processor']}; kernels {found['kernels']}{tile}; {found['threads']} threads"
