"""How a convolution's kernel moves over its image.  Without numba, so that every set of kernels can import it."""

from typing import NamedTuple


class Geometry(NamedTuple):
    """Pairs are (rows, columns).

    >>> Geometry((3, 3), (2, 2), ((0, 1), (0, 1)), (1, 1), 1).output_size(8, 6)
    (4, 3)
    """

    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]  # zeros ((above, below), (left, right)) of the image
    dilation: tuple[int, int]
    groups: int

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the output for an input of `height` x `width`.

        ``(size + before + after - dilation * (kernel - 1) - 1) // stride + 1`` along either axis.
        """
        rows, columns = (
            (size + sum(pad) - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, pad, dilation in zip(
                (height, width), self.kernel_size, self.strides, self.pads, self.dilation, strict=True
            )
        )
        return rows, columns
