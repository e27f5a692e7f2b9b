"""ReLU's backward pass; its forward pass is part of the convolutions."""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.simd import where_positive
from tinycnn.kernels.sweep import sweep


@inlined
def _relu_gradient(values, settings):
    grad, y = values  # in vectors for once: a branch per number would be mispredicted half of the time
    return (where_positive(grad, y),)


@jit
def _relu_backward(worker, into, sources, settings, counter):
    sweep(_relu_gradient, into, sources, settings, counter)


@runtime.locked
def relu_backward(grad: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """``out = grad`` where the ReLU's output `y` is positive, 0 elsewhere."""
    check("relu_backward", grad=(grad, grad.shape), y=(y, grad.shape), out=(out, grad.shape))
    grad, y, out = (a.reshape(-1) for a in (grad, y, out))
    runtime.run(_relu_backward, (out,), (grad, y), (), runtime.task_counter())
