"""Convolution and transposed convolution.  Their sums, to read: `tinycnn.kernels.im2col`."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import flag
from tinycnn.kernels.geometry import Geometry
from tinycnn.kernels.sets import active
from tinycnn.layers.activation import ReLU
from tinycnn.layers.base import Layer, Shape, pair, positive_int
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.padding import Padding, check_image, check_padding, resolve_padding
from tinycnn.layers.pool import MaxPool2D
from tinycnn.layers.weighted import Weighted
from tinycnn.regularizers import Regularizer


class _Convolution(Weighted):
    """Constructor, shapes and activation, which both directions share."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: Padding = "valid",
        activation: str | Layer | None = None,
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, name
        )
        kind = type(self).__name__
        self.filters = positive_int(filters, f"{kind}: filters")
        self.kernel_size = pair(kernel_size, f"{kind}: kernel_size")
        self.strides = pair(strides, f"{kind}: strides")
        self.padding = padding
        self._axes = check_padding(padding, kind)

    def config(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            **super().config(),
        }

    @property
    def fuses_relu(self) -> bool:
        """The kernel applies a ReLU itself, to each tile while it is in cache."""
        return isinstance(self.activation, ReLU)


class Conv2D(_Convolution):
    """2-D convolution (cross-correlation, as in every framework) over NHWC images.

    ::

        forward    y[n, o, :] = activation(bias + sum over k  x[n, o*strides + k*dilation_rate - pad, :] @ kernel[k])
        backward   grad_kernel[k] = sum over n, o  x[n, o*strides + k*dilation_rate - pad, :].T @ grad[n, o, :]
                   grad_bias      = sum over n, o  grad[n, o, :]
                   grad_x[n, i]   = sum over k, o with o*strides + k*dilation_rate - pad = i  grad[n, o] @ kernel[k].T

    with o, k, i standing for (row, column), x zero outside the image, and grad the gradient before the activation.

    Parameters
    ----------
    filters : int
        Output channels.
    kernel_size, strides, dilation_rate : int or (rows, columns)
    padding : "valid", "same", int, (rows, columns) or ((top, bottom), (left, right))
        "valid" adds nothing: ``floor((size - extent) / stride) + 1`` outputs, extent = dilation*(kernel-1)+1.
        "same" gives ``ceil(size / stride)`` outputs; an odd number of zeros puts the extra one last, as
        TensorFlow does (PyTorch's ``padding=k//2`` puts it first for even sizes and stride 2).
    groups : int
        Channels are split into so many independent convolutions; divides input channels and `filters`.
    activation : None, str or Layer
        "relu" is applied inside the kernel.
    use_bias : bool
    kernel_initializer, bias_initializer : str
        As in `tinycnn.initializers`.
    kernel_regularizer, bias_regularizer : None, L1L2, str or dict
        A penalty on kernel or bias, as in `tinycnn.regularizers.get`.

    Input shape ``(images, height, width, channels)``; output shape ``(images, rows, columns, filters)``;
    ``kernel (kernel_rows, kernel_columns, channels / groups, filters)``, ``bias (filters,)``.

    Raises
    ------
    ValueError
        For an impossible argument, or an image smaller than the kernel.

    References
    ----------
    Goodfellow, Bengio and Courville, Deep Learning, chapter 9; Dumoulin and Visin, A guide to convolution
    arithmetic, arXiv:1603.07285.

    Examples
    --------
    >>> layer = Conv2D(2, 3, padding="same", activation="relu")
    >>> layer.forward(np.ones((1, 4, 5, 3), np.float32)).shape
    (1, 4, 5, 2)
    >>> layer.backward(np.ones((1, 4, 5, 2), np.float32)).shape, layer.grads["kernel"].shape
    ((1, 4, 5, 3), (3, 3, 3, 2))
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: Padding = "valid",
        dilation_rate: int | tuple[int, int] = 1,
        groups: int = 1,
        activation: str | Layer | None = None,
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            name,
        )
        self.groups = positive_int(groups, "Conv2D: groups")
        if self.filters % self.groups:
            raise ValueError(f"Conv2D: groups={groups} must divide filters={filters}")
        self.dilation_rate = pair(dilation_rate, "Conv2D: dilation_rate")

    def config(self) -> dict[str, Any]:
        return {**super().config(), "dilation_rate": self.dilation_rate, "groups": self.groups}

    def geometry(self, input_shape: Shape) -> Geometry:
        """How the kernel moves over images of `input_shape`."""
        axes = zip(self._axes, input_shape[:2], self.kernel_size, self.strides, self.dilation_rate, strict=True)
        top_bottom, left_right = (resolve_padding(*axis) for axis in axes)
        return Geometry(self.kernel_size, self.strides, (top_bottom, left_right), self.dilation_rate, self.groups)

    def output_shape_of(self, input_shape: Shape) -> Shape:
        check_image(self, input_shape)
        if input_shape[2] % self.groups:
            raise ValueError(f"{self.where()}: {input_shape[2]} input channels do not divide into {self.groups} groups")
        size = self.geometry(input_shape).output_size(*input_shape[:2])
        if min(size) < 1:
            raise ValueError(
                f"{self.where()}: a kernel of {self.kernel_size} with dilation {self.dilation_rate} and padding "
                f"{self.padding!r} does not fit an image of {input_shape[:2]}"
            )
        return (*size, self.filters)

    def create(self, input_shape: Shape) -> None:
        self._geometry = self.geometry(input_shape)
        self.create_weights((*self.kernel_size, input_shape[2] // self.groups, self.filters), self.filters)

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``activation(x * kernel + bias)``, shape ``(images, rows, columns, filters)``."""
        y = self._convolve(x, relu=self.fuses_relu)
        return self.activation.receive(y) if self.fuses_relu else self._activate(y, training)

    def forward_linear(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        return self._convolve(x, relu=False)

    def _convolve(self, x: ArrayLike, relu: bool) -> np.ndarray:
        x = self._enter(x)
        y = self._output()
        active().conv_forward(x, self.params["kernel"], self.params.get("bias"), self._geometry, y, relu)
        return y

    @property
    def last_output(self) -> np.ndarray:
        return self._still_there(self._y) if self.fuses_relu else super().last_output

    def backward_linear(
        self, grad: ArrayLike, input_grad: bool = True, codes: np.ndarray | None = None
    ) -> np.ndarray | None:
        """`backward` from the gradient before the activation or, with `codes`, from that of a 2x2 max-pool after it."""
        grad = self._enter_backward(grad) if codes is None else np.asarray(grad)
        grad_x = self._input_gradient(grad) if flag(input_grad, "input_grad") else None
        kernel, grad_kernel, grad_bias = self.params["kernel"], self.grads["kernel"], self.grads.get("bias")
        active().conv_backward(self._x, kernel, grad, self._geometry, grad_x, grad_kernel, grad_bias, codes)
        return grad_x

    def pools_into(self, following: Layer) -> bool:
        """Whether the kernel can do the work of the layer after this one too: a 2x2 max-pool of each tile in cache."""
        width = active().pool_width
        return (
            isinstance(following, MaxPool2D)
            and following.halves
            and (self.activation is None or self.fuses_relu)
            and width > 0
            and self.filters // self.groups % width == 0
        )

    def forward_pooled(self, x: ArrayLike, pool: MaxPool2D) -> np.ndarray:
        """``pool(conv(x))`` in one go, shape ``(images, rows // 2, columns // 2, filters)``.

        At batch 16 the report's first convolution makes 134 MB of activations of which pooling keeps a quarter; writing
        and reading them back costs more than the arithmetic.  So each tile is pooled while it is in cache, and one byte
        per window says which of its four positions won.  The result equals that of one layer after the other, bit for
        bit.
        """
        x = self._enter(x)
        self._images = None  # alone, this layer could not go backward: its own output was never there
        y, codes = pool.receive(len(x))
        active().conv_forward(
            x, self.params["kernel"], self.params.get("bias"), self._geometry, y, self.fuses_relu, codes
        )
        return y

    def forward_folded(self, x: ArrayLike, norm: BatchNorm, relu: bool, pool: MaxPool2D | None) -> np.ndarray:
        """A prediction's ``pool(relu(norm(conv(x))))`` at once, `relu` and `pool` if wanted; see `BatchNorm.folded`."""
        x = self._enter(x)
        self._images = None  # no way back
        y, codes = (self._output(), None) if pool is None else pool.receive(len(x))
        kernel, bias = norm.folded(self.params["kernel"], self.params.get("bias"))
        active().conv_forward(x, kernel, bias, self._geometry, y, relu, codes)
        return y

    def backward_pooled(self, grad_y: ArrayLike, pool: MaxPool2D, input_grad: bool = True) -> np.ndarray | None:
        """Through the pool, the ReLU and the convolution; a gradient follows its window's winner only."""
        grad, codes = pool.received(grad_y)
        return self.backward_linear(grad, input_grad, codes)


class Conv2DTranspose(_Convolution):
    """Transposed convolution: forward is a convolution's gradient to its input, so it enlarges images.

    ::

        forward    y[n, i, :] = activation(bias + sum over o, k with o*strides + k - pad = i  x[n, o, :] @ kernel[k].T)
        backward   grad_x      = the convolution of grad with kernel
                   grad_kernel = the kernel gradient of that convolution, with grad as image and x as output gradient

    Parameters are those of `Conv2D`, without `dilation_rate` and `groups`.  "valid" gives
    ``(size - 1) * stride + max(kernel, stride)`` outputs, "same" ``size * stride``, as in Keras; numeric padding crops
    ``(size - 1) * stride + kernel`` by so many pixels, as in PyTorch.

    Input shape ``(images, height, width, channels)``; ``kernel (rows, columns, filters, channels)`` as in Keras.

    References
    ----------
    Dumoulin and Visin, A guide to convolution arithmetic, arXiv:1603.07285, chapter 4.

    Examples
    --------
    >>> Conv2DTranspose(8, 3, strides=2, padding="same").forward(np.ones((1, 4, 5, 3), np.float32)).shape
    (1, 8, 10, 8)
    """

    def output_shape_of(self, input_shape: Shape) -> Shape:
        check_image(self, input_shape)
        sizes = []
        for size, padding, kernel, stride in zip(
            input_shape[:2], self._axes, self.kernel_size, self.strides, strict=True
        ):
            if padding == "same":
                sizes.append(size * stride)
            elif padding == "valid":
                sizes.append((size - 1) * stride + max(kernel, stride))
            else:
                sizes.append((size - 1) * stride + kernel - sum(padding))
        if min(sizes) < 1:
            raise ValueError(
                f"{self.where()}: padding {self.padding!r} leaves nothing of an image of {input_shape[:2]}"
            )
        return (*sizes, self.filters)

    def create(self, input_shape: Shape) -> None:
        axes = zip(self._axes, self.output_shape[:2], self.kernel_size, self.strides, strict=True)
        top_bottom, left_right = (resolve_padding(*axis) for axis in axes)
        self._geometry = Geometry(self.kernel_size, self.strides, (top_bottom, left_right), (1, 1), 1)
        self.create_weights((*self.kernel_size, self.filters, input_shape[2]), self.filters)

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """The input gradient of a convolution from ``output_shape`` to ``input_shape``, plus bias, activated."""
        return self._activate(self.forward_linear(x), training)

    def forward_linear(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        x = self._enter(x)
        y = self._output()
        active().conv_input_gradient(x, self.params["kernel"], self._geometry, y, self.params.get("bias"))
        return y

    def backward_linear(self, grad: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        grad = self._enter_backward(grad)
        active().conv_kernel_gradient(grad, self._x, self._geometry, self.grads["kernel"])
        if self.use_bias:
            active().bias_gradient(grad, self.grads["bias"])
        if not flag(input_grad, "input_grad"):
            return None
        grad_x = self._input_gradient(grad)
        active().conv_forward(grad, self.params["kernel"], None, self._geometry, grad_x)
        return grad_x
