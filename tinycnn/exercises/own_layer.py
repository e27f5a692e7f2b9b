"""A layer of your own, PReLU, that passes gradcheck."""

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.exercises.exercise import Exercise, Suspect, numbers
from tinycnn.gradcheck import gradcheck
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
        self.params["alpha"] = np.full(input_shape[-1], 0.25, self.dtype)

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """Return y.

        ``x = self._enter(x)`` comes first: it checks and converts x.  Keep what backward needs: ``self.x = x``.
        """
        x = self._enter(x)
        self.x = x
        return np.where(x > 0, x, self.params["alpha"] * x)

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """Write ``self.grads["alpha"]``, ``(c,)``, anew each time (do not add to it), and return grad_x.

        ``grad_y = self._enter_backward(grad_y)`` comes first.  `input_grad` may be ignored: False says that nobody
        needs grad_x.
        """
        grad_y = self._enter_backward(grad_y)
        below = self.x <= 0
        self.grads["alpha"] = (grad_y * self.x * below).sum(axis=(0, 1, 2))
        return np.where(below, self.params["alpha"] * grad_y, grad_y)


def _run(answer, x, alpha, grad_y, dtype, checked):
    layer = answer()
    layer.build(x.shape[1:], dtype=dtype)
    if np.shape(layer.params.get("alpha")) != alpha.shape:
        there = f"shape {np.shape(layer.params['alpha'])}" if "alpha" in layer.params else "nothing"
        raise ValueError(f'create leaves {there} in self.params["alpha"], expected shape {alpha.shape}')
    begin = np.array(layer.params["alpha"])
    layer.params["alpha"][...] = alpha
    y = layer.forward(x)
    try:
        grad_x = layer.backward(grad_y)
    except NotImplementedError:  # what is there is checked
        return begin, y, None, None
    if not np.array_equal(layer.params["alpha"], alpha.astype(dtype)):
        raise ValueError("alpha is changed on the way: forward and backward only read it, the optimizer takes the step")
    if checked:
        gradcheck(answer(), x)
    return begin, y, grad_x, layer.grads["alpha"]


def _oracle(x, alpha, grad_y, dtype, checked):
    begin = np.array([0.25] * x.shape[3], dtype)
    alpha, slope = alpha.astype(dtype), np.ones(x.shape, dtype)
    for index in np.argwhere(x <= 0):
        slope[tuple(index)] = alpha[index[-1]]
    total = np.einsum("nijc,nijc->c", grad_y, np.minimum(x, 0))
    return begin, slope * x, slope * grad_y, total.astype(dtype)


def _case(seed, shape, dtype=np.float64, checked=False):
    x, alpha, grad_y = numbers(seed, *shape), numbers(seed + 1, shape[-1]), numbers(seed + 2, *shape)
    return {"x": x.astype(dtype), "alpha": alpha, "grad_y": grad_y.astype(dtype), "dtype": dtype, "checked": checked}


Y = 'np.where(x > 0, x, self.params["alpha"] * x)'
TO_X = 'np.where(below, self.params["alpha"] * grad_y, grad_y)'
TO_ALPHA = 'self.grads["alpha"] = (grad_y * self.x * below).sum(axis=(0, 1, 2))'
EXERCISE = Exercise(
    solution=PReLU,
    outputs=("alpha at first", "y", "grad_x", "grad_alpha"),
    oracle=_oracle,
    run=_run,
    cases={
        "one pixel": _case(0, (1, 1, 1, 2)),
        "one image": _case(10, (1, 2, 3, 2)),
        "several images": _case(20, (3, 2, 2, 3)),
        "as many channels as rows and columns": _case(30, (2, 3, 3, 3)),
        "float32": _case(40, (1, 2, 2, 2), np.float32),
        "gradcheck": _case(50, (2, 2, 3, 2), checked=True),
    },
    suspects=[
        Suspect("one alpha for all channels: each has its own", "np.full(input_shape[-1], 0.25", "np.full(1, 0.25"),
        Suspect("alpha begins at another value", "0.25, self.dtype", "0.0, self.dtype"),
        Suspect("alpha is float64 whatever self.dtype is", "0.25, self.dtype", "0.25"),
        Suspect("x below zero becomes 0: alpha is not used", Y, "np.where(x > 0, x, 0 * x)"),
        Suspect("alpha stands on the wrong side of zero", Y, 'np.where(x > 0, self.params["alpha"] * x, x)'),
        Suspect("x is multiplied by alpha everywhere", Y, 'self.params["alpha"] * x'),
        Suspect(
            "max(x, alpha * x) is the same only for an alpha from 0 to 1", Y, 'np.maximum(x, self.params["alpha"] * x)'
        ),
        Suspect("grad_x is 0 below zero, as in a plain ReLU", TO_X, "np.where(below, 0 * grad_y, grad_y)"),
        Suspect("alpha is missing in grad_x", TO_X, "grad_y * 1"),
        Suspect(
            "alpha stands on the wrong side of zero in grad_x",
            TO_X,
            'np.where(below, grad_y, self.params["alpha"] * grad_y)',
        ),
        Suspect("the sign of grad_y decides in grad_x, not that of x", TO_X, TO_X.replace("below", "grad_y <= 0")),
        Suspect("grad_x is multiplied by x", TO_X, TO_X + " * self.x"),
        Suspect("the upstream gradient is not used in grad_x", TO_X, 'np.where(below, self.params["alpha"], 1.0)'),
        Suspect("the gradient to alpha sums all x, not those below zero", TO_ALPHA, TO_ALPHA.replace(" * below", "")),
        Suspect("the gradient to alpha sums x above zero", TO_ALPHA, TO_ALPHA.replace("below", "~below")),
        Suspect(
            "the sum over images is missing",
            TO_ALPHA,
            TO_ALPHA.replace(".sum(axis=(0, 1, 2))", "[-1].sum(axis=(0, 1))"),
        ),
        Suspect(
            "the sum over images is missing", TO_ALPHA, TO_ALPHA.replace(".sum(axis=(0, 1, 2))", "[0].sum(axis=(0, 1))")
        ),
        Suspect("a mean where the gradient to alpha is a sum", TO_ALPHA, TO_ALPHA.replace("sum(", "mean(")),
        Suspect("the gradient to alpha misses x", TO_ALPHA, TO_ALPHA.replace(" * self.x", "")),
        Suspect(
            "the upstream gradient is not used in the gradient to alpha", TO_ALPHA, TO_ALPHA.replace("grad_y * ", "")
        ),
        Suspect(
            "x = self._enter(x) is missing in forward: backward checks grad_y against it", "x = self._enter(x)", "pass"
        ),
        Suspect(
            "the gradient is added to that of the last backward: it must be written anew",
            TO_ALPHA,
            TO_ALPHA.replace("=", "+=", 1),
        ),
    ],
    hints=[
        "Read tinycnn/layers/activation.py's LeakyReLU: the same with a constant slope.",
        "np.where(x > 0, x, alpha * x): alpha (c,) goes with (n, h, w, c) as it is.",
        "grad_alpha has one number per channel: the sum of grad_y * x over axes (0, 1, 2), over x <= 0 alone.",
        "gradcheck fills grads with NaN before backward: write self.grads[...] = ..., never +=.",
    ],
)
