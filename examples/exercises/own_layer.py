"""A layer of your own, PReLU, that passes gradcheck.

Checked by ``python -m tinycnn.exercises own_layer``.
"""

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.layers.base import Layer


class PReLU(Layer):
    """A ReLU whose slope below zero is learnt, one for each channel (He et al. 2015).

    ::

        y          = x  where x > 0,  alpha * x  elsewhere
        grad_x     = grad_y  where x > 0,  alpha * grad_y  elsewhere
        grad_alpha = sum of  grad_y * x  over images, rows and columns, where x <= 0

    for images ``(n, h, w, c)`` and alpha ``(c,)``.

    `Layer` does the rest: ``model.add(PReLU())`` works, it is saved, trained and summed up in tables.
    """

    def create(self, input_shape: tuple[int, ...]) -> None:
        """Make ``self.params["alpha"]``: 0.25 for each channel, in ``self.dtype``.

        `input_shape` is ``(h, w, c)``, without images.
        """
        raise NotImplementedError

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """Return y.

        ``x = self._enter(x)`` comes first: it checks and converts x.  Keep what backward needs: ``self.x = x``.
        """
        raise NotImplementedError

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """Write ``self.grads["alpha"]``, ``(c,)``, anew each time (do not add to it), and return grad_x.

        ``grad_y = self._enter_backward(grad_y)`` comes first.  `input_grad` may be ignored: False says that nobody
        needs grad_x.
        """
        raise NotImplementedError
