"""Convolution backward: gradients to the input, the kernel and the bias."""

import numpy as np

from tinycnn import reference
from tinycnn.exercises.exercise import Exercise, Suspect, numbers


def conv_backward(
    x: np.ndarray,
    kernel: np.ndarray,
    grad_y: np.ndarray,
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of a convolution: every output pixel hands its gradient back to what it was made of.

    The forward pass is, with zeros outside of x::

        y[n, i, j, f] = bias[f] + sum over r, s, c of  x[n, i*sy + r - top, j*sx + s - left, c] * kernel[r, s, c, f]

    Each product in it gives to each of its two factors the other one, times ``grad_y[n, i, j, f]``::

        grad_x[n, a, b, c]      = sum over i, j, f of  grad_y[n, i, j, f] * kernel[a+top - i*sy, b+left - j*sx, c, f]
        grad_kernel[r, s, c, f] = sum over n, i, j of  grad_y[n, i, j, f] * x[n, i*sy + r - top, j*sx + s - left, c]
        grad_bias[f]            = sum over n, i, j of  grad_y[n, i, j, f]

    where an index outside of the kernel or of x counts as zero.

    Parameters
    ----------
    x : ndarray ``(n, h, w, c)``
    kernel : ndarray ``(kh, kw, c, filters)``
    grad_y : ndarray ``(n, oh, ow, filters)``
        Gradient of the loss with respect to y.
    strides : (sy, sx)
    padding : ((top, bottom), (left, right))

    Returns
    -------
    grad_x, grad_kernel, grad_bias : ndarray
        Of the shapes of x, kernel and bias ``(filters,)``.

    Examples
    --------
    >>> x, kernel, grad_y = (np.array(row).reshape(1, 1, -1, 1) for row in ([1.0, 2.0, 3.0], [10.0, 20.0], [1.0, 7.0]))
    >>> found = conv_backward(x, kernel.reshape(1, 2, 1, 1), grad_y, strides=(1, 1), padding=((0, 0), (0, 0)))
    >>> [gradient.ravel().tolist() for gradient in found]
    [[10.0, 90.0, 140.0], [15.0, 23.0], [8.0]]
    """
    (top, _), (left, _) = padding
    kh, kw, _, _ = kernel.shape
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    grad_padded, grad_kernel = np.zeros(padded.shape), np.zeros(kernel.shape)
    for i in range(grad_y.shape[1]):
        for j in range(grad_y.shape[2]):
            row, column = i * strides[0], j * strides[1]
            here = (slice(None), slice(row, row + kh), slice(column, column + kw))
            grad = grad_y[:, i, j]  # (n, filters)
            grad_padded[here] += np.einsum("nf,rscf->nrsc", grad, kernel)
            grad_kernel += np.einsum("nf,nrsc->rscf", grad, padded[here])
    grad_x = grad_padded[:, top : top + x.shape[1], left : left + x.shape[2]]
    return grad_x, grad_kernel, grad_y.sum(axis=(0, 1, 2))


def _case(seed, shape, filters, window=(3, 3), strides=(1, 1), padding=((0, 0), (0, 0))):
    oh, ow = (reference.output_size(*axis) for axis in zip(shape[1:3], window, strides, padding, strict=True))
    return {
        "x": numbers(seed, *shape),
        "kernel": numbers(seed + 1, *window, shape[3], filters),
        "grad_y": numbers(seed + 2, shape[0], oh, ow, filters),
        "strides": strides,
        "padding": padding,
    }


FIRST = "(top, _), (left, _) = padding"
TO_X = 'np.einsum("nf,rscf->nrsc", grad, kernel)'
TO_KERNEL = 'grad_kernel += np.einsum("nf,nrsc->rscf", grad, padded[here])'
CUT = "top : top + x.shape[1], left : left + x.shape[2]"
TO_BIAS = "grad_y.sum(axis=(0, 1, 2))"
EXERCISE = Exercise(
    solution=conv_backward,
    outputs=("grad_x", "grad_kernel", "grad_bias"),
    oracle=reference.conv2d_backward,
    cases={
        "one row, by hand": {
            "x": np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1),
            "kernel": np.array([10.0, 20.0]).reshape(1, 2, 1, 1),
            "grad_y": np.array([1.0, 7.0]).reshape(1, 1, 2, 1),
            "strides": (1, 1),
            "padding": ((0, 0), (0, 0)),
        },
        "one image, one channel, one filter": _case(0, (1, 4, 5, 1), 1),
        "channels and filters": _case(10, (1, 4, 5, 2), 3),
        "several images": _case(20, (3, 4, 4, 2), 2),
        "a kernel of 2 x 3": _case(30, (1, 4, 5, 2), 2, (2, 3)),
        "padding": _case(40, (1, 4, 4, 1), 2, padding=((2, 0), (0, 1))),
        "strides, pixels that no window sees": _case(50, (1, 6, 8, 1), 2, (2, 2), (3, 2)),
        "everything": _case(60, (2, 7, 6, 3), 2, (2, 3), (2, 1), ((1, 0), (2, 1))),
    },
    suspects=[
        Suspect("the kernel is flipped where it should not be", TO_X, TO_X.replace("kernel", "kernel[::-1, ::-1]")),
        Suspect("rows and columns of the kernel are exchanged", TO_X, TO_X.replace("kernel", "kernel.swapaxes(0, 1)")),
        Suspect(
            "the sum over filters is missing", TO_X, TO_X.replace("grad, kernel", "grad[:, -1:], kernel[..., -1:]")
        ),
        Suspect(
            "windows overwrite one another: `=` where `+=` is needed",
            f"grad_padded[here] += {TO_X}",
            f"grad_padded[here] = {TO_X}",
        ),
        Suspect(
            "windows overwrite one another, and the first output of each pixel wins: `=` where `+=` is needed",
            f"grad_padded[here] += {TO_X}",
            f"grad_padded[here] += np.where(grad_padded[here] == 0, {TO_X}, 0)",
        ),
        Suspect(
            "the padding is cut off on the wrong side",
            CUT,
            "padding[0][1] : padding[0][1] + x.shape[1], padding[1][1] : padding[1][1] + x.shape[2]",
        ),
        Suspect("the padding is not cut off", f"[:, {CUT}]", ""),
        Suspect(
            "grad_y is reshaped to (n, filters, oh, ow): a reshape does not move axes, a transpose does",
            "grad = grad_y[:, i, j]",
            "grad = grad_y.reshape(len(x), -1, *grad_y.shape[1:3])[:, :, i, j]",
        ),
        Suspect("the stride is ignored", "i * strides[0], j * strides[1]", "i, j"),
        Suspect("the padding is ignored", FIRST, f"padding = ((0, 0), (0, 0))\n    {FIRST}"),
        Suspect("vertical and horizontal stride are exchanged", FIRST, f"strides = strides[::-1]\n    {FIRST}"),
        Suspect(
            "the sum over images is missing",
            TO_KERNEL,
            TO_KERNEL.replace("grad, padded[here]", "grad[-1:], padded[here][-1:]"),
        ),
        Suspect(
            "the sum over output pixels is missing: `=` where `+=` is needed", TO_KERNEL, TO_KERNEL.replace("+=", "=")
        ),
        Suspect(
            "the sums over images and over output pixels are missing: `=` where `+=` is needed",
            TO_KERNEL,
            TO_KERNEL.replace("grad, padded[here]", "grad[-1:], padded[here][-1:]").replace("+=", "="),
        ),
        Suspect("a mean over images where the equation has a sum", TO_KERNEL, TO_KERNEL + " / len(x)"),
        Suspect(
            "the gradient to the kernel comes out flipped",
            "return grad_x, grad_kernel,",
            "return grad_x, grad_kernel[::-1, ::-1],",
        ),
        Suspect("the bias belongs to every output pixel: a sum, not a mean", TO_BIAS, TO_BIAS.replace("sum", "mean")),
        Suspect("the sum over images is missing", TO_BIAS, "grad_y.sum(axis=(1, 2))[-1]"),
        Suspect("the mean over images, the sum over pixels: both are sums", TO_BIAS, f"{TO_BIAS} / len(x)"),
        Suspect("the sum over images is missing", TO_BIAS, "grad_y.sum(axis=(1, 2))"),
        Suspect("the sum runs over the filters, too: each has its own bias", TO_BIAS, "grad_y.sum()"),
        Suspect(
            "the upstream gradient grad_y is not used", TO_BIAS, "np.full(kernel.shape[3], grad_y[..., 0].size, float)"
        ),
        Suspect(
            "only the first image's gradient is taken",
            TO_KERNEL,
            TO_KERNEL.replace("grad, padded[here]", "grad[:1], padded[here][:1]"),
        ),
        Suspect(
            "all the padding is put below and on the right: top and left come first",
            "*padding",
            "*[(0, sum(side)) for side in padding]",
        ),
        Suspect(
            "rows and columns of the kernel's gradient are exchanged",
            "return grad_x, grad_kernel,",
            "return grad_x, grad_kernel.swapaxes(0, 1),",
        ),
    ],
    hints=[
        "Begin with conv_forward's two loops over i and j: there the slice of x that output (i, j) sees was read. "
        "Backward adds to the same slice.",
        "Let grad = grad_y[:, i, j], (n, filters). The slice of grad_x gets the sum over f of grad times kernel; the "
        "kernel's gradient gets the sum over n of grad times the slice of x. np.einsum writes both.",
        "Work on padded arrays, with +=, and cut the padding off grad_x at the end: rows top to top + h.",
    ],
)
