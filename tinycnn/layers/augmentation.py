"""Augmentation as a layer of the network: other copies of the images in every training pass."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import flag
from tinycnn.data.augment import Augment
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.padding import check_image


class Augmentation(Layer):
    """`Augment` in training, nothing at all at inference.

    ::

        training    y = Augment(**options)(x),    drawn anew for each image of each batch
        inference   y = x,    dL/dx = dL/dy

    It belongs before the layers that train, where no gradient need pass: in training it has none to give.  To augment
    bytes, and outside the network, give ``fit(augment=Augment(...))`` instead.

    Parameters
    ----------
    options
        Of `tinycnn.data.Augment`, for float images: rotation, flip, zoom, shift, ...  `contrast` works around each
        channel's mean.

    Input shape ``(images, height, width, channels)``, float32.

    Raises
    ------
    ValueError
        For an option out of its range; on building, if the input is not a float32 image.
    RuntimeError
        If a gradient to the input of a training pass is asked for.

    Examples
    --------
    >>> layer, x = Augmentation(flip=1.0), np.arange(6, dtype=np.float32).reshape(1, 1, 3, 2)
    >>> layer.forward(x, training=True).ravel().tolist(), layer.forward(x) is x
    ([4.0, 5.0, 2.0, 3.0, 0.0, 1.0], True)
    """

    reads_output = False

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__(name)
        self.augment = Augment(**options)
        self._changed = False

    def config(self) -> dict[str, Any]:
        return dict(vars(self.augment))

    def output_shape_of(self, input_shape: Shape) -> Shape:
        check_image(self, input_shape)
        if self.dtype is not None and self.dtype != np.float32:
            raise ValueError(f"{self.where()} augments float32 images alone; build the model in float32")
        return tuple(input_shape)

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """Changed copies in training, `x` itself at inference."""
        x = self._enter(x)
        self._changed = training = flag(training, "training")
        if not training:
            self._y = x
            return x
        mean = x.mean(axis=(1, 2), keepdims=True) if self.augment.contrast else np.float32(0)  # (n, 1, 1, c)
        y = self._output()
        y[...] = self.augment(x - mean, self.rng) + mean
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """`grad_y` itself at inference."""
        grad_y = self._enter_backward(grad_y)
        if self._changed and input_grad:
            raise RuntimeError(f"{self.where()}: no gradient passes through augmentation; put it before what trains")
        return None if self._changed else grad_y
