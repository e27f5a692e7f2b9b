"""Convolution and transposed convolution."""

import numpy as np

from tinycnn import initializers
from tinycnn.kernels import conv
from tinycnn.kernels.activation import relu_backward
from tinycnn.layers import activation as activations
from tinycnn.layers.base import Layer, pair


def resolve_padding(padding, size, kernel, stride, dilation, where):
    """Zeros before and after one axis: TensorFlow's rule for "same" (the odd zero goes last), 0 for "valid"."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
        return total // 2, total - total // 2
    before, after = padding
    if min(before, after) < 0:
        raise ValueError(f"{where}: padding must not be negative, got {padding}")
    return int(before), int(after)


def check_padding(padding):
    """``"same"``, ``"valid"``, an int, (rows, columns), or ((top, bottom), (left, right)) -> one entry per axis."""
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f'padding must be "same", "valid", an int or a pair, got {padding!r}')
        return padding, padding
    if isinstance(padding, (int, np.integer)):
        padding = (padding, padding)
    try:
        rows, columns = ((p, p) if isinstance(p, (int, np.integer)) else tuple(int(q) for q in p) for p in padding)
        if len(rows) != 2 or len(columns) != 2 or min(*rows, *columns) < 0:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(
            f'padding must be "same", "valid", an int >= 0, (rows, columns) or ((top, bottom), (left, right)), '
            f"got {padding!r}"
        ) from None
    return rows, columns


class _Convolution(Layer):
    """Constructor, shapes and activation, which both directions share."""

    skips_input_grad = True

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        dilation_rate=1,
        groups=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        name=None,
    ):
        super().__init__(name)
        kind = type(self).__name__
        if not isinstance(filters, (int, np.integer)) or filters < 1:
            raise ValueError(f"{kind}: filters must be a positive int, got {filters!r}")
        if not isinstance(groups, (int, np.integer)) or groups < 1 or filters % groups:
            raise ValueError(f"{kind}: groups must be a positive int that divides filters={filters}, got {groups!r}")
        self.filters, self.groups = int(filters), int(groups)
        self.kernel_size = pair(kernel_size, f"{kind}: kernel_size")
        self.strides = pair(strides, f"{kind}: strides")
        self.dilation_rate = pair(dilation_rate, f"{kind}: dilation_rate")
        self.padding = padding
        self._padding = check_padding(padding)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer

    def config(self):
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": activations.describe(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
        }

    def sublayers(self):
        return [] if self.activation is None else [self.activation]

    def _check_image(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(f"{self.where()} needs inputs of shape (height, width, channels), got {input_shape}")
        if input_shape[2] % self.groups:
            raise ValueError(f"{self.where()}: {input_shape[2]} input channels do not divide into {self.groups} groups")

    def _create(self, kernel_shape):
        self.params["kernel"] = initializers.get(self.kernel_initializer)(kernel_shape, self.rng, self.dtype)
        if self.use_bias:
            self.params["bias"] = initializers.get(self.bias_initializer)((self.filters,), self.rng, self.dtype)
        if self.activation is not None:
            self.activation.build(self.output_shape, self.rng, self.dtype)

    @property
    def fuses_relu(self):
        """The kernel applies a ReLU itself, to each tile while it is in cache."""
        return isinstance(self.activation, activations.ReLU)

    def _activate(self, y, training):
        """Whatever activation the kernel did not apply."""
        if self.activation is None or self.fuses_relu:
            self._y = y
            return y
        return self.activation.forward(y, training)

    def _before_activation(self, grad_y):
        """Gradient with respect to the activation's input."""
        if self.activation is None:
            return grad_y
        if not self.fuses_relu:
            return self.activation.backward(grad_y)
        grad = self._buffer("grad", grad_y.shape)
        relu_backward(grad_y, self._y, grad)
        return grad


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

    def geometry(self, input_shape):
        """The `tinycnn.kernels.conv.Geometry` for images of `input_shape`."""
        pads = tuple(
            resolve_padding(*axis, self.where())
            for axis in zip(
                self._padding, input_shape[:2], self.kernel_size, self.strides, self.dilation_rate, strict=True
            )
        )
        return conv.Geometry(self.kernel_size, self.strides, pads, self.dilation_rate, self.groups)

    def output_shape_of(self, input_shape):
        self._check_image(input_shape)
        size = self.geometry(input_shape).output_size(*input_shape[:2])
        if min(size) < 1:
            raise ValueError(
                f"{self.where()}: a kernel of {self.kernel_size} with dilation {self.dilation_rate} and padding "
                f"{self.padding!r} does not fit an image of {input_shape[:2]}"
            )
        return (*size, self.filters)

    def create(self, input_shape):
        self._geometry = self.geometry(input_shape)
        self._create((*self.kernel_size, input_shape[2] // self.groups, self.filters))

    def forward(self, x, training=False):
        """``activation(x * kernel + bias)``, shape ``(images, rows, columns, filters)``."""
        self._x = x = self._enter(x)
        y = self._buffer("y", (len(x), *self.output_shape))
        conv.forward(x, self.params["kernel"], self.params.get("bias"), self._geometry, y, relu=self.fuses_relu)
        return self._activate(y, training)

    def backward(self, grad_y, input_grad=True):
        """Fill ``grads``; return the input's gradient, or None if `input_grad` is False (a network's first layer)."""
        grad = self._before_activation(self._enter_backward(grad_y))
        return self.backward_kernel(grad, input_grad)

    def backward_kernel(self, grad, input_grad=True, codes=None):
        """`backward` from the gradient before the activation or, with `codes`, after a 2x2 max-pool."""
        grad_x = self._buffer("grad_x", self._x.shape) if input_grad else None
        conv.backward(
            self._x,
            self.params["kernel"],
            grad,
            self._geometry,
            grad_x,
            self.grads["kernel"],
            self.grads.get("bias"),
            codes,
        )
        return grad_x


class Conv2DTranspose(_Convolution):
    """Transposed convolution: forward is a convolution's gradient to its input, so it enlarges images.

    ::

        forward    y[n, i, :] = activation(bias + sum over o, k with o*strides + k - pad = i  x[n, o, :] @ kernel[k].T)
        backward   grad_x      = the convolution of grad with kernel
                   grad_kernel = the kernel gradient of that convolution, with grad as image and x as output gradient

    Parameters are those of `Conv2D`.  "valid" gives ``(size - 1) * stride + max(kernel, stride)`` outputs, "same"
    ``size * stride``, as in Keras; numeric padding crops ``(size - 1) * stride + kernel`` by so many pixels, as
    in PyTorch.

    Input shape ``(images, height, width, channels)``; ``kernel (rows, columns, filters, channels)`` as in Keras.

    References
    ----------
    Dumoulin and Visin, A guide to convolution arithmetic, arXiv:1603.07285, chapter 4.

    Examples
    --------
    >>> Conv2DTranspose(8, 3, strides=2, padding="same").forward(np.ones((1, 4, 5, 3), np.float32)).shape
    (1, 8, 10, 8)
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        name=None,
    ):
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            1,
            1,
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            name,
        )

    def config(self):
        return {k: v for k, v in super().config().items() if k not in ("dilation_rate", "groups")}

    def output_shape_of(self, input_shape):
        self._check_image(input_shape)
        sizes = []
        for size, padding, kernel, stride in zip(
            input_shape[:2], self._padding, self.kernel_size, self.strides, strict=True
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

    def create(self, input_shape):
        pads = tuple(
            resolve_padding(*axis, 1, self.where())
            for axis in zip(self._padding, self.output_shape[:2], self.kernel_size, self.strides, strict=True)
        )
        self._geometry = conv.Geometry(self.kernel_size, self.strides, pads, (1, 1), 1)
        self._create((*self.kernel_size, self.filters, input_shape[2]))

    def forward(self, x, training=False):
        """The input gradient of a convolution from ``output_shape`` to ``input_shape``, plus bias, activated."""
        self._x = x = self._enter(x)
        y = self._buffer("y", (len(x), *self.output_shape))
        conv.input_gradient(x, self.params["kernel"], self._geometry, y, self.params.get("bias"))
        if self.fuses_relu:
            np.maximum(y, 0, out=y)
        return self._activate(y, training)

    def backward(self, grad_y, input_grad=True):
        """Fill ``grads``; return the input's gradient, or None if `input_grad` is False."""
        grad = self._before_activation(self._enter_backward(grad_y))
        conv.kernel_gradient(grad, self._x, self._geometry, self.grads["kernel"])
        if self.use_bias:
            conv.bias_gradient(grad, self.grads["bias"])
        if not input_grad:
            return None
        grad_x = self._buffer("grad_x", self._x.shape)
        conv.forward(grad, self.params["kernel"], None, self._geometry, grad_x)
        return grad_x
