"""The numbers of one epoch for the film of a training: histograms, dead units, sizes of steps, first kernels."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinycnn.inside.trace import trace
from tinycnn.layers.activation import ReLU
from tinycnn.layers.conv import Conv2D
from tinycnn.losses import Loss
from tinycnn.model import Sequential

BINS = 40
KERNELS = 32  # at most, of the first convolution
OUTPUTS = 4096  # at most, of each layer and image, for the histogram of activations


def frame_of(
    model: Sequential, images: np.ndarray, targets: np.ndarray, loss: Loss, before: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Look at every layer that has parameters or is a ReLU; the model is left exactly as it was.

    Images are traced one by one, so that the memory this takes does not grow with their number.

    Parameters
    ----------
    model : Sequential
    images, targets : ndarray
        A few training images, as `tinycnn.trace` takes them.
    loss : Loss
    before : mapping of str to ndarray
        Weights before the last step of the optimizer, as `Sequential.get_weights` gives them; may be empty.

    Returns
    -------
    dict
        JSON-able: ``layers``, by path: ``activations``, ``gradients`` and ``weights`` (`histogram`, or None where
        there are none), ``dead`` (share of a ReLU's channels or units that are 0 for every image, or None) and
        ``ratio`` (length of the last step over that of the weights, or None); and ``kernels`` (`first_kernels`).
    """
    outputs: dict[str, list[np.ndarray]] = {}
    alive: dict[str, np.ndarray] = {}
    gradients: dict[str, dict[str, np.ndarray]] = {}  # sums over the images
    for i in range(len(images)):
        seen = trace(model, images[i : i + 1], targets[i : i + 1], loss)
        inner = {id(layer.activation) for layer in seen.layers.values()}  # shown with the layer that applies it
        for path, layer in seen.layers.items():
            if not layer.params and (not isinstance(layer, ReLU) or id(layer) in inner):
                continue
            record = seen[path]
            y = record.output.reshape(-1, record.output.shape[-1])  # (places, channels)
            outputs.setdefault(path, []).append(y.ravel()[:: -(-y.size // OUTPUTS)].copy())
            if isinstance(layer, ReLU) or isinstance(layer.activation, ReLU):
                alive[path] = alive.get(path, False) | (y > 0).any(axis=0)
            if path not in gradients:
                gradients[path] = record.grads
            else:
                for key, grad in record.grads.items():
                    gradients[path][key] += grad
        del seen  # before the next one is there: it holds every array of the pass
    layers = {}
    for path, values in outputs.items():
        params = model.get_layer(path).params
        for grad in gradients[path].values():
            grad /= len(images)
        layers[path] = {
            "activations": histogram(*values),
            "gradients": histogram(*gradients[path].values()) if params else None,
            "weights": histogram(*params.values()) if params else None,
            "dead": float(1 - alive[path].mean()) if path in alive else None,
            "ratio": _ratio(path, params, before),
        }
    return {"layers": layers, "kernels": first_kernels(model)}


def histogram(*arrays: np.ndarray) -> list[Any]:
    """``[lowest, highest, counts]`` of the arrays' finite values, in `BINS` equal steps.

    >>> low, high, counts = histogram(np.array([0.0, 1.0]), np.array([[1.0, np.inf]]))
    >>> low, high, counts[0], counts[-1], sum(counts)
    (0.0, 1.0, 1, 2, 3)
    """
    finite = [array if np.isfinite(array).all() else array[np.isfinite(array)] for array in arrays]
    finite = [array for array in finite if array.size]
    low = min((float(array.min()) for array in finite), default=0.0)
    high = max((float(array.max()) for array in finite), default=0.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = sum((np.histogram(array, BINS, (low, high))[0] for array in finite), np.zeros(BINS, int))
    return [low, high, counts.tolist()]


def first_kernels(model: Sequential) -> dict[str, Any] | None:
    """The kernels of the first convolution, at most `KERNELS`: whole numbers from -127 to 127 on one scale.

    Returns
    -------
    dict or None
        ``layer`` (its path), ``shape`` (rows, columns, channels, kernels shown), ``of`` (kernels there are), ``scale``
        (weight that 127 stands for) and ``values`` (flat, in that shape's order); None without a convolution.
    """
    first = next((layer for layer in model.all_layers() if isinstance(layer, Conv2D)), None)
    if first is None:
        return None
    kernel = first.params["kernel"]
    shown = kernel[..., :KERNELS]
    scale = float(np.abs(shown).max())
    values = np.rint(shown * (127 / scale if scale > 0 else 0)).astype(int)
    return {
        "layer": str(first.name),
        "shape": list(shown.shape),
        "of": kernel.shape[-1],
        "scale": scale,
        "values": values.ravel().tolist(),
    }


def _ratio(path: str, params: Mapping[str, np.ndarray], before: Mapping[str, np.ndarray]) -> float | None:
    """``|w - w before| / |w before|`` of all parameters of a layer together."""
    old = {key: before[f"{path}/{key}"] for key in params if f"{path}/{key}" in before}
    length = math.hypot(*(np.linalg.norm(array) for array in old.values()))
    return math.hypot(*(np.linalg.norm(params[key] - old[key]) for key in old)) / length if length > 0 else None
