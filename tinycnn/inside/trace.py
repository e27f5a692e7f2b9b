"""Every number of a pass: what each layer saw, computed and was handed back, and what any one number is made of."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import losses
from tinycnn.arguments import as_array, flag, of_class
from tinycnn.inside.terms import Back, Terms, back_of, terms_of
from tinycnn.inside.twin import twin_of
from tinycnn.layers.augmentation import Augmentation
from tinycnn.layers.base import Layer
from tinycnn.layers.block import Block
from tinycnn.layers.steps import plan
from tinycnn.layers.weighted import Weighted
from tinycnn.losses import Loss
from tinycnn.model import Sequential
from tinycnn.training.objective import Objective
from tinycnn.walk import walk


@dataclass(repr=False)
class Record:
    """What one layer did: the arrays are yours, and of the model's dtype.

    Attributes
    ----------
    input, output : ndarray, shape (images, *shape)
    pre_activation : ndarray
        What the layer computed before its activation; equal to `output` where it has none.
    grad_output, grad_pre_activation, grad_input : ndarray or None
        Gradients of the loss to these three; None without labels, before an augmentation in training, and at the end
        of the network where the loss takes softmax and logarithm together: there, no gradient to the probabilities
        exists.
    params, grads : dict of str -> ndarray
        Weights, and the loss's gradient to them; `grads` is empty without labels.
    """

    input: Any = None
    pre_activation: Any = None
    output: Any = None
    grad_output: Any = None
    grad_pre_activation: Any = None
    grad_input: Any = None
    params: dict[str, np.ndarray] = field(default_factory=dict)
    grads: dict[str, np.ndarray] = field(default_factory=dict)

    def __repr__(self) -> str:
        arrays = {key: value for key, value in vars(self).items() if isinstance(value, np.ndarray)}
        named = {
            f"{kind}[{key!r}]": value for kind in ("params", "grads") for key, value in getattr(self, kind).items()
        }
        return f"Record({', '.join(f'{key} {value.shape}' for key, value in (arrays | named).items())})"


class Trace:
    """The records of one pass, by layer: ``trace["conv2d"]``, ``trace["residual/conv2d"]``; made by `trace`.

    Printed, it is a table: shapes, mean, least and largest output, share of zeros, length of the gradient.

    Attributes
    ----------
    records : dict of str -> Record
        In the order of the layers, each followed by those inside it.
    layers : dict of str -> Layer
        The copies that ran.
    output : ndarray
        What the model gave.
    loss : float or None
        Mean over the batch; None without labels.
    training : bool
        Whether the pass was one of training.
    """

    def __init__(self, layers: dict[str, Layer], training: bool) -> None:
        self.layers = layers
        self.records = {path: Record(params=layer.params) for path, layer in layers.items()}
        self.output = np.empty(0)
        self.loss: float | None = None
        self.training = training

    def __getitem__(self, path: str) -> Record:
        """The record of a layer.

        Raises
        ------
        ValueError
            Listing the layers there are.
        """
        if path not in self.records:
            raise ValueError(f"no layer {path!r} was traced; there are {', '.join(self.records)}")
        return self.records[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def terms(self, path: str, index: tuple[int, ...]) -> Terms:
        """What makes one output: the inputs that it sees, their weights, the products, the bias.

        Parameters
        ----------
        path : str
            Of the layer.
        index : tuple of int
            Of the output: ``(image, row, column, filter)``, ``(image, unit)``.

        Returns
        -------
        Terms
            Its `total` is ``trace[path].pre_activation[index]``, to rounding.  A layer that is no weighted sum is given
            as the one that it is around these numbers: a max-pool has weight 1 for the winner and 0 for the others,
            an activation the slope of its tangent, and as bias where that meets 0.

        Raises
        ------
        ValueError
            For an unknown path or kind of layer, a layer that did not run, or an index outside its output.

        Examples
        --------
        >>> from tinycnn.layers import Dense
        >>> model = Sequential([Dense(2, kernel_initializer="ones")])
        >>> _ = model.build((3,))
        >>> print(trace(model, np.float32([[0.5, 2, 3]])).terms("dense", (0, 1)))
        input (0, 2)                  3.00000 *   1.00000 =   3.00000
        input (0, 1)                  2.00000 *   1.00000 =   2.00000
        input (0, 0)                  0.50000 *   1.00000 =   0.50000
                                                     bias =   0.00000
                                                      sum =   5.50000
        """
        where = _checked(index, self._ran(path).pre_activation, f"the output of '{path}'")
        return terms_of(self, self.layers[path], where)

    def back(self, path: str, index: tuple[int, ...]) -> Back:
        """What makes the gradient to one input: the outputs that it has a part in, their weights and gradients.

        Parameters
        ----------
        path : str
            Of the layer.
        index : tuple of int
            Of the input: ``(image, row, column, channel)``, ``(image, position)``.

        Returns
        -------
        Back
            Its `total` is ``trace[path].grad_input[index]``, to rounding.

        Raises
        ------
        ValueError
            As of `terms`, or if the pass had no labels, or for the softmax that the loss takes together with its
            logarithm.

        Examples
        --------
        >>> from tinycnn.layers import Dense
        >>> model = Sequential([Dense(2, kernel_initializer="ones")])
        >>> _ = model.build((3,))
        >>> print(trace(model, np.float32([[1, 2, 3]]), [1]).back("dense", (0, 0)))
        output (0, 0)                 0.50000 *   1.00000 =   0.50000
        output (0, 1)                -0.50000 *   1.00000 =  -0.50000
                                                      sum =   0.00000
        """
        record = self._ran(path)
        if self.loss is None:
            raise ValueError("this pass had no labels, so there is no gradient: call trace(model, images, labels)")
        if record.grad_input is None:
            raise ValueError(f"no gradient to the input of '{path}': in training none passes through augmentation")
        if record.grad_pre_activation is None:
            raise ValueError(
                f"'{path}' has no gradient to its output: the loss takes softmax and logarithm together and starts "
                "with (probability - target) / images before the softmax"
            )
        return back_of(self, self.layers[path], _checked(index, record.input, f"the input of '{path}'"))

    def _ran(self, path: str) -> Record:
        if self[path].output is None:
            raise ValueError(f"'{path}' did not run in this pass")
        return self[path]

    def __repr__(self) -> str:
        rows: list[tuple[str, ...]] = [("layer", "input", "output", "mean", "min", "max", "zeros", "gradient")]
        for path, record in self.records.items():
            if record.output is None:
                continue
            y, grad = record.output, record.grad_pre_activation if record.grad_output is None else record.grad_output
            shapes = (" x ".join(map(str, array.shape[1:])) for array in (record.input, y))
            numbers = (f"{value:.4g}" for value in (y.mean(), y.min(), y.max()))
            length = "" if grad is None else f"{np.linalg.norm(grad):.3g}"
            rows.append((path, *shapes, *numbers, f"{100 * np.mean(y == 0):.0f} %", length))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(n) if i < 3 else cell.rjust(n) for i, (cell, n) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        loss = "" if self.loss is None else f", loss {self.loss:.4f}"
        images = "1 image" if len(self.output) == 1 else f"{len(self.output)} images"
        head = f"{images}{loss}{', training' if self.training else ''}"
        return "\n".join(line.rstrip() for line in (head, *lines))


def trace(
    model: Sequential,
    images: ArrayLike,
    labels: ArrayLike | None = None,
    loss: Loss | None = None,
    training: bool = False,
) -> Trace:
    """Run `model` forward and, with labels, backward, layer by layer, nothing fused, and keep every number.

    A copy of the model runs, so the model is left exactly as it was: weights, generators, moving statistics, ``grads``,
    and what its layers last saw.

    Parameters
    ----------
    model : Sequential
        Built.
    images : array, shape (images, *input_shape)
        uint8 is scaled by 1/255; float is taken as it is.  Outputs and gradients of all of them are kept, and their
        copies: a few images, not a whole set.
    labels : array, optional
        As `loss` takes them, classes from 0 by default.
    loss : Loss, optional
        `CrossEntropy()` by default.  Gradients are of the mean loss over the batch.
    training : bool
        Dropout drops what the model's next training step would, and batch normalisation uses the batch's statistics.

    Returns
    -------
    Trace

    Raises
    ------
    ValueError
        If the model is not built, or images or labels do not fit.

    References
    ----------
    Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, Nature 323, 1986.

    Examples
    --------
    >>> from tinycnn.layers import Conv2D, Dense, Flatten, MaxPool2D
    >>> model = Sequential([Conv2D(4, 3, activation="relu"), MaxPool2D(2), Flatten(), Dense(3, activation="softmax")])
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
    >>> _ = model.build((8, 8, 1))
    >>> seen = trace(model, images, [0, 2])
    >>> seen["conv2d"].output.shape, seen["conv2d"].grads["kernel"].shape
    ((2, 6, 6, 4), (3, 3, 1, 4))
    >>> bool(np.isclose(seen.terms("conv2d", (1, 2, 3, 0)).total, seen["conv2d"].pre_activation[1, 2, 3, 0]))
    True
    >>> probabilities, targets = seen["dense"].output, np.eye(3)[[0, 2]]
    >>> bool(np.allclose(seen["dense"].grad_pre_activation, (probabilities - targets) / 2))
    True
    """
    of_class(model, Sequential, "model")
    if not model.built:
        raise ValueError(
            f"model '{model.name}' must be built before it can be traced: train it, load it, or call "
            f"build({np.shape(images)[1:]})"
        )
    twin = twin_of(model)
    training = flag(training, "training")
    found = Trace({str(layer.name): layer for layer in twin.all_layers()}, training)
    for path, layer in found.layers.items():
        _watch(layer, found[path], training)
    body, head = plan(twin.layers, fuse=False)
    x = np.array(twin.prepare(images))
    for step in body:
        logits = x = step.forward(x, training)
    for step in head:
        x = step.forward(x, training)
    found.output = x.copy()
    if labels is not None:
        objective, targets = Objective(copy.copy(losses.get(loss))), as_array(labels, "labels")
        if targets.shape[:1] != x.shape[:1]:
            raise ValueError(f"one label for each of {len(x)} images is needed, got labels of shape {targets.shape}")
        objective.check(targets, twin, "labels")
        found.loss, _ = objective.forward(logits if objective.logits else x, targets)
        grad = objective.backward()
        if objective.logits:
            for step in head:
                found[str(step.layers[0].name)].grad_input = grad
            head = []
        for step in reversed([*body, *head]):
            grad = step.backward(grad, input_grad=not (training and _changes_images(step.layers[0])))
            if grad is None:
                break
        for path, layer in found.layers.items():
            found[path].grads = layer.grads
    last = found[str(twin.layers[-1].name)]
    if twin.head and (ends := twin.layers[-1].activation):
        split = found[str(ends.name)]
        last.output, last.grad_output = split.output, split.grad_output
    for layer in found.layers.values():
        _unwatch(layer)
    return found


def _checked(index: tuple[int, ...], array: np.ndarray, what: str) -> tuple[int, ...]:
    given = tuple(index) if isinstance(index, (tuple, list, np.ndarray)) else (index,)
    whole = all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in given)
    if len(given) != array.ndim or not whole or not all(0 <= i < n for i, n in zip(given, array.shape, strict=True)):
        raise ValueError(
            f"index {index!r} does not fit {what}, which has shape {array.shape}: give {array.ndim} whole numbers, "
            "each from 0 to one less than that size"
        )
    return tuple(int(i) for i in given)


def _changes_images(layer: Layer) -> bool:
    """Whether an augmentation is in it: in training no gradient to its input exists."""
    return any(isinstance(part, Augmentation) for part in walk(layer))


def _watch(layer: Layer, record: Record, training: bool) -> None:
    """Put recording functions into the place of the layer's methods.

    A layer with a linear part runs it apart from its activation, though its kernel could do both.
    """
    goes_back = not (training and _changes_images(layer))
    linear = isinstance(layer, (Weighted, Block))
    names = ("forward_linear", "backward_linear") if linear else ("forward", "backward")
    compute, hand_back = (getattr(layer, name) for name in names)

    def forward_linear(x: np.ndarray, training: bool = False) -> np.ndarray:
        record.input = x.copy()
        z = compute(x, training)
        record.pre_activation = record.output = z.copy()
        return z

    def backward_linear(grad: np.ndarray, input_grad: bool = True) -> np.ndarray:
        record.grad_pre_activation = grad.copy()
        grad_x = hand_back(grad, input_grad or goes_back)
        record.grad_input = None if grad_x is None else grad_x.copy()
        return grad_x

    def forward(x: np.ndarray, training: bool = False) -> np.ndarray:
        y = forward_linear(x, training)
        if layer.activation is not None:
            y = layer.activation.forward(y, training)
            record.output = y.copy()
        return y

    def backward(grad: np.ndarray, input_grad: bool = True) -> np.ndarray:
        record.grad_output = grad.copy()
        return backward_linear(grad if layer.activation is None else layer.activation.backward(grad), input_grad)

    if isinstance(layer, Block):
        layer.fuse = False
    vars(layer).update(forward=forward, backward=backward)
    if linear:  # a softmax at the end of the model runs as a step of its own, after this part
        vars(layer).update(forward_linear=forward_linear, backward_linear=backward_linear)


def _unwatch(layer: Layer) -> None:
    for name in ("forward", "backward", "forward_linear", "backward_linear"):
        vars(layer).pop(name, None)
