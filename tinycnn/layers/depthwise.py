"""Convolutions of each channel by itself, alone and followed by one over the channels."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.layers.base import Layer, Shape, positive_int
from tinycnn.layers.block import Block
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.padding import Padding, check_image
from tinycnn.layers.registry import describe
from tinycnn.regularizers import Regularizer


class DepthwiseConv2D(Conv2D):
    """A convolution of each channel by itself: `Conv2D` with as many groups as channels.

    ::

        forward    z[n, o, c*m + j] = bias[c*m + j] + sum over k  x[n, o*strides + k - pad, c] * kernel[k, c*m + j]
                   y = activation(z)

    with o, k standing for (row, column), m the `depth_multiplier` and j from 0 to m - 1; backward as in `Conv2D`.

    Parameters
    ----------
    kernel_size, strides, padding, dilation_rate, activation, use_bias, kernel_initializer, bias_initializer,
    kernel_regularizer, bias_regularizer
        As in `Conv2D`.
    depth_multiplier : int
        Output channels of each input channel.

    Input shape ``(images, height, width, channels)``; ``kernel (kernel_rows, kernel_columns, 1, channels *
    depth_multiplier)``, the numbers of Keras's ``(kernel_rows, kernel_columns, channels, depth_multiplier)`` in order.

    Raises
    ------
    ValueError
        As of `Conv2D`.

    References
    ----------
    Howard et al., MobileNets, arXiv:1704.04861.

    Examples
    --------
    >>> layer = DepthwiseConv2D(3, padding="same")
    >>> layer.forward(np.ones((1, 4, 5, 6), np.float32)).shape, layer.params["kernel"].shape
    ((1, 4, 5, 6), (3, 3, 1, 6))
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: Padding = "valid",
        depth_multiplier: int = 1,
        dilation_rate: int | tuple[int, int] = 1,
        activation: str | Layer | None = None,
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        name: str | None = None,
    ) -> None:
        self.depth_multiplier = positive_int(depth_multiplier, "DepthwiseConv2D: depth_multiplier")
        super().__init__(
            self.depth_multiplier,  # times the channels, which the input's shape will tell
            kernel_size,
            strides,
            padding,
            dilation_rate,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            name=name,
        )

    def config(self) -> dict[str, Any]:
        config = {**super().config(), "depth_multiplier": self.depth_multiplier}
        return {key: value for key, value in config.items() if key not in ("filters", "groups")}

    def output_shape_of(self, input_shape: Shape) -> Shape:
        check_image(self, input_shape)
        self.groups, self.filters = input_shape[2], input_shape[2] * self.depth_multiplier
        return super().output_shape_of(input_shape)


class SeparableConv2D(Block):
    """`DepthwiseConv2D`, then a 1x1 `Conv2D` that mixes the channels: near a full convolution for much less work.

    ::

        forward    y = activation(pointwise(depthwise(x)) + bias)
        backward   through the two in turn

    Parameters
    ----------
    filters : int
        Output channels, of the 1x1 convolution.
    kernel_size, strides, padding, depth_multiplier, dilation_rate
        Of the depthwise convolution, which has no bias.
    activation, use_bias, bias_regularizer
        Of the 1x1 convolution.
    kernel_initializer, kernel_regularizer
        Of both.

    Input shape ``(images, height, width, channels)``; output shape ``(images, rows, columns, filters)``.

    Raises
    ------
    ValueError
        As of `Conv2D`.

    References
    ----------
    Chollet, Xception: deep learning with depthwise separable convolutions, 2017.

    Examples
    --------
    >>> layer = SeparableConv2D(8, 3, padding="same")
    >>> layer.forward(np.ones((1, 4, 5, 6), np.float32)).shape, layer.count_params      # 3*3*6 + 6*8 + 8
    ((1, 4, 5, 8), 110)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: Padding = "valid",
        depth_multiplier: int = 1,
        dilation_rate: int | tuple[int, int] = 1,
        activation: str | Layer | None = None,
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        name: str | None = None,
    ) -> None:
        self.depthwise = DepthwiseConv2D(
            kernel_size,
            strides,
            padding,
            depth_multiplier,
            dilation_rate,
            use_bias=False,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
        )
        self.pointwise = Conv2D(
            filters,
            1,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
        )
        super().__init__([[self.depthwise, self.pointwise]], activation, name)

    def config(self) -> dict[str, Any]:
        depthwise = self.depthwise.config()
        kept = ("kernel_size", "strides", "padding", "depth_multiplier", "dilation_rate", "kernel_initializer")
        return {
            "filters": self.pointwise.filters,
            **{key: depthwise[key] for key in kept},
            "activation": describe(self.activation),
            "use_bias": self.pointwise.use_bias,
            **{f"{key}_regularizer": penalty.config() for key, penalty in self.pointwise.regularizers.items()},
        }

    def output_shape_of(self, input_shape: Shape) -> Shape:
        return self.path_shapes(input_shape)[0]

    def forward_linear(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """The two convolutions."""
        x = self._enter(x)
        self._y = self.along(self.paths[0], x, training)
        return self._y

    def backward_linear(self, grad: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """Back through both."""
        return self.back(self.paths[0], self._enter_backward(grad), input_grad)
