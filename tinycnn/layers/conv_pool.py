"""Conv2D followed by a 2x2 MaxPool2D as one step: the full-size activation between them is never stored.

At batch 16 the report's first convolution makes 134 MB of activations of which pooling keeps a quarter; writing and
reading them back costs more than the arithmetic.  The convolution kernel pools each tile while it is in cache and
stores one byte per window: which of its four positions won.  `fuse` finds the pairs in a list of built layers; the
layers themselves stay what they are, readable and usable one by one, and the fused result equals theirs bit for bit.
"""

import numpy as np

from tinycnn.kernels import conv
from tinycnn.kernels.simd import LANES
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.pool import MaxPool2D


class ConvPool:
    """One step of a model in place of ``[conv, pool]``; parameters and gradients are those of `conv`."""

    skips_input_grad = True
    reads_output = False  # the codes say all

    def __init__(self, conv_layer, pool_layer):
        self.conv, self.pool = self.layers = conv_layer, pool_layer

    def forward(self, x, training=False):
        """``pool(conv(x))``: shape ``(images, rows // 2, columns // 2, filters)``."""
        layer = self.conv
        layer._x = x = layer._enter(x)
        shape = (len(x), *self.pool.output_shape)
        y = self.pool._buffer("y", shape)
        self.pool._codes = self._codes = self.pool._buffer("codes", shape, np.uint8)
        conv.forward(
            x, layer.params["kernel"], layer.params.get("bias"), layer._geometry, y, layer.fuses_relu, self._codes
        )
        self.pool._images = len(x)
        layer._images = None  # alone, it could not go backward: its own output was never there
        return y

    def backward(self, grad_y, input_grad=True):
        """Through the pool, the ReLU and the convolution; a gradient follows its window's winner only."""
        self.conv._incoming = grad = self.pool._enter_backward(grad_y)
        return self.conv.backward_kernel(grad, input_grad, self._codes)


def fusible(first, second):
    """Whether two built layers can run as one `ConvPool`."""
    return (
        isinstance(first, Conv2D)
        and isinstance(second, MaxPool2D)
        and (first.activation is None or first.fuses_relu)
        and second.pool_size == second.strides == (2, 2)
        and (second.padding == "valid" or not any(n % 2 for n in second.input_shape[:2]))
        and first.filters // first.groups % LANES == 0
    )


def fuse(layers):
    """The steps that run `layers`: each fusible pair becomes a `ConvPool`, every other layer stays itself."""
    steps, i = [], 0
    while i < len(layers):
        if i + 1 < len(layers) and fusible(layers[i], layers[i + 1]):
            steps.append(ConvPool(layers[i], layers[i + 1]))
            i += 1
        else:
            steps.append(layers[i])
        i += 1
    return steps
