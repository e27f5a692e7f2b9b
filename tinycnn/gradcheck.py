"""Compare the gradients that a layer, a loss or a model computes with finite differences."""

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.gradcheck_result import GradcheckResult, TensorCheck
from tinycnn.layers.base import Layer
from tinycnn.layers.naming import name_layers

STEP_SHRINK = 8  # a mismatch is looked at again with a step this many times smaller
DRAWS = 5  # random directions per tensor in random mode


class GradientError(AssertionError):
    """An analytic gradient disagrees with finite differences, or gradients are wired wrongly."""


def gradcheck(
    target: Any,
    x: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    mode: Literal["exact", "random"] = "exact",
    seed: int = 0,
    epsilon: float = 1e-5,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    max_skipped: float = 0.05,
    training: bool = True,
    raise_on_error: bool = True,
    verbose: bool = False,
) -> GradcheckResult:
    r"""Check every gradient of a layer, a loss or a model against central differences, in float64.

    With a random upstream gradient :math:`u` (normal, drawn from `seed`) the scalar
    :math:`f(\theta) = \sum_i u_i\, y_i(\theta)` has, for each element :math:`\theta_j` of the input and of every
    parameter, sublayers' included, the derivative

    .. math:: \partial f / \partial\theta_j \approx
              \sum_i u_i\, [y_i(\theta + h e_j) - y_i(\theta - h e_j)] / 2h,

    which ``backward(u)`` must reproduce (an upstream gradient of ones would hide permuted gradients).  Random mode
    replaces :math:`e_j` by random unit vectors :math:`d` and compares with :math:`\langle \mathrm{grad}, d\rangle`:
    five directions per tensor, whatever its size.

    An element agrees if ``|analytic - numeric| <= atol + rtol * scale + noise``.  `scale` is the largest gradient
    of the *tensor* (its root mean square in random mode), since small elements carry the rounding errors of large
    ones; the relative error in the table is ``|analytic - numeric| / max(scale, atol / rtol)``.  `noise` is
    the rounding error of the difference itself, ``8 * 2.2e-16 * norm(u * y) / h``.

    Kinks (ReLU at 0, a tie in a max) make finite differences meaningless.  Where the two gradients disagree, the
    difference is taken again with a step eight times smaller.  If they still disagree, both steps together tell a kink
    from an error: without a kink, the gap between the one-sided differences shrinks with the step and the central
    difference stays put.  Only where these move by as much as the disagreement is the element skipped, and counted.

    During the check, dropout masks are frozen, and parameters or running statistics that are constant
    (a bias of zeros, a gamma of ones) are disturbed, because a constant hides errors.  Parameters, states
    and random generators are put back afterwards; ``grads`` then hold the checked gradients.

    Wiring is checked too: ``grads`` and ``params`` have equal keys and shapes, backward writes every gradient and never
    accumulates, dtypes stay float64, forward leaves `x` alone and repeats itself, ``model.parameters()`` leaves no
    parameter out.  Parameters of layers with ``trainable = False`` are not checked.

    Parameters
    ----------
    target : Layer, loss or Sequential
        An unbuilt layer or model is built in float64 (and stays built).
    x : array_like
        Input with its batch axis, or logits for a loss.  Best drawn from a continuous distribution: integers
        and zeros sit on kinks.
    labels : array_like, optional
        For losses only.
    mode : {"exact", "random"}
        Every element, at two forward passes each, or random projections for large tensors.
    seed : int
        Of the upstream gradient, the disturbances and the directions.
    epsilon : float
        Step :math:`h`, absolute.
    rtol, atol : float
        Tolerances as above.
    max_skipped : float
        Share of a tensor's elements that may sit on kinks before the check fails.
    training : bool
        Passed to ``forward``.
    raise_on_error, verbose : bool
        Raise on a wrong gradient instead of only saying so in the result; print the table.

    Returns
    -------
    GradcheckResult

    Raises
    ------
    GradientError
        A gradient or its wiring is wrong; the message names the worst tensor and index and holds the table.
    ValueError
        The target was built in float32, or arguments do not fit together.

    References
    ----------
    Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 11.5.5.

    Examples
    --------
    >>> import numpy as np
    >>> from tinycnn.gradcheck import gradcheck
    >>> from tinycnn.losses import CrossEntropy
    >>> logits = np.random.default_rng(0).normal(size=(4, 3))
    >>> result = gradcheck(CrossEntropy(class_weight=[1.0, 2.0, 0.5]), logits, labels=[0, 2, 1, 1])
    >>> result.ok, result.table[0].name, result.table[0].checked
    (True, 'input', 12)
    """
    if mode not in ("exact", "random"):
        raise ValueError(f"gradcheck: mode must be 'exact' or 'random', got {mode!r}")
    x = np.array(x, dtype=np.float64, order="C")
    is_loss = not isinstance(target, Layer) and not hasattr(target, "layers")
    if is_loss != (labels is not None):
        raise ValueError(
            f"gradcheck: {type(target).__name__} "
            + ("is taken for a loss, which needs labels=..." if is_loss else "takes no labels: they are for losses")
        )
    rng = np.random.default_rng(seed)
    if not is_loss and target.output_shape is None:
        target.build(x.shape[1:], dtype=np.float64)
    layers = [] if is_loss else _named_layers(target)
    for _, layer, _ in layers:
        if layer.dtype is not None and layer.dtype != np.float64:
            raise ValueError(
                f"gradcheck: {layer.where()} was built in {layer.dtype}; finite differences need float64: pass an "
                "unbuilt layer or build it with dtype=np.float64"
            )
    result = GradcheckResult(f"gradcheck of {type(target).__name__}, {mode} mode, training={training}")
    with _undisturbed([layer for _, layer, _ in layers], rng) as restore_states:
        tolerance = _Tolerance(mode == "exact", epsilon, rtol, atol, max_skipped)
        check = _Check(target, x, labels, layers, training, restore_states, result)
        for name, tensor, gradient in check.prepare(rng):
            moves = _elements(tensor, gradient) if mode == "exact" else _directions(tensor, gradient, rng)
            result.table.append(_compare(check, name, tensor, gradient, moves, tolerance))
    if verbose:
        print(result)
    if raise_on_error and not result.ok:
        raise GradientError(str(result))
    return result


class _Check:
    """Calls of one target: forward as a flat vector, and the analytic gradients with their wiring."""

    def __init__(self, target, x, labels, layers, training, restore_states, result):
        self.target, self.x, self.labels, self.layers, self.training = target, x, labels, layers, training
        self.restore_states, self.problems = restore_states, result.problems
        self.is_loss = labels is not None

    def forward(self):
        self.restore_states()
        if self.is_loss:
            return np.array([self.target.forward(self.x, self.labels)], dtype=np.float64)
        return self.target.forward(self.x, training=self.training)

    def outputs(self):
        """Forward at the present values as a fresh flat vector (a model reuses its output buffers)."""
        return self.forward().flatten()

    def prepare(self, rng):
        """Check the wiring; list (name, tensor, analytic gradient), empty if finite differences make no sense."""
        before = self.x.copy()
        y = self.forward()
        if not np.array_equal(before, self.x):
            self.problems.append("forward changed its input x in place")
        if y.dtype != np.float64:
            self.problems.append(f"forward of a float64 input returned {y.dtype}")
        if not np.all(np.isfinite(y)):
            self.problems.append("forward returned NaN or infinite values")
        for _, layer, _ in self.layers:
            if hasattr(layer, "frozen"):
                layer.frozen = True
        self.upstream = np.ones(1) if self.is_loss else rng.normal(size=y.size)
        shape = y.shape
        self.y = self.outputs()
        if not np.array_equal(self.y, self.outputs(), equal_nan=True):
            self.problems.append("two forward passes on the same input differ: random numbers without a 'frozen' flag")
        first = [] if self.problems else self.gradients(shape)
        second = [] if self.problems else self.gradients(shape)
        if self.problems:
            return []
        for (name, _, one), (_, _, two) in zip(first, second, strict=True):
            if not np.allclose(one, two, rtol=1e-10, atol=1e-12 * max(1.0, np.abs(one).max(initial=0))):
                self.problems.append(f"{name}: a second backward gives another gradient; it must not accumulate")
        if hasattr(self.target, "parameters"):  # what the optimizer sees must be what is checked here
            yielded = [id(param) for _, param, _ in self.target.parameters()]
            if len(set(yielded)) < len(yielded):
                self.problems.append("parameters() yields an array twice")
            for name, tensor, _ in first:
                if tensor is not self.x and id(tensor) not in yielded:
                    self.problems.append(f"{name}: parameters() leaves it out, so no optimizer would train it")
        return first

    def gradients(self, shape):
        """List of (name, tensor, copy of its gradient) from one forward and backward."""
        for _, layer, _ in self.layers:
            for gradient in layer.grads.values():
                gradient[...] = np.nan  # what backward does not overwrite stays NaN
        self.outputs()
        grad_x = self.target.backward() if self.is_loss else self.target.backward(self.upstream.reshape(shape).copy())
        found = [("input", self.x, grad_x)]
        for prefix, layer, trainable in self.layers:
            if trainable:
                if set(layer.params) != set(layer.grads):
                    self.problems.append(f"{layer.where()}: params {sorted(layer.params)}, grads {sorted(layer.grads)}")
                found += [(prefix + key, layer.params[key], layer.grads.get(key)) for key in layer.params]
        for name, tensor, gradient in found:
            problem = None
            if not isinstance(gradient, np.ndarray):
                problem = f"backward gave {gradient!r} instead of an array"
            elif gradient.shape != tensor.shape:
                problem = f"gradient of shape {gradient.shape} for a tensor of shape {tensor.shape}"
            elif gradient.dtype != np.float64:
                problem = f"gradient in {gradient.dtype} for a float64 tensor"
            elif not np.all(np.isfinite(gradient)):
                index = tuple(int(i) for i in np.argwhere(~np.isfinite(gradient))[0])
                problem = (
                    f"the gradient is {gradient[index]} at {index}. It was filled with NaN beforehand: backward left "
                    "it unwritten, added to it instead of overwriting it, or computed it so"
                )
            if problem:
                self.problems.append(f"{name}: {problem}")
        return [] if self.problems else [(name, tensor, gradient.copy()) for name, tensor, gradient in found]

    def difference(self, move, step):
        """Central difference, and the gap between the one-sided ones, along `move` with `step`."""
        taken = move(step)
        ahead = self.outputs()
        taken -= move(-step)
        behind = self.outputs()
        move(0.0)
        central = self.upstream @ (ahead - behind) / taken
        gap = self.upstream @ (ahead - 2 * self.y + behind) / (taken / 2)
        return central, gap


class _Tolerance(NamedTuple):
    """How the differences are taken, and how far they may be off; see `gradcheck`."""

    exact: bool
    epsilon: float
    rtol: float
    atol: float
    max_skipped: float


def _compare(check, name, tensor, gradient, moves, tolerance):
    """Compare one tensor's gradient with finite differences along `moves`."""
    exact, epsilon, rtol, atol, max_skipped = tolerance
    scale = np.abs(gradient).max(initial=0.0) if exact else np.linalg.norm(gradient) / np.sqrt(max(gradient.size, 1))
    noise = 8 * np.finfo(np.float64).eps * np.linalg.norm(check.upstream * check.y)
    pairs: list[tuple[float, Any, float, float]] = []  # by how much too far off, where, analytic, numeric
    skipped = 0
    for place, move, analytic in moves:
        if not exact and len(pairs) == DRAWS:
            break
        numeric, gap = check.difference(move, epsilon)
        step = epsilon

        def excess(value, step, analytic=analytic):
            return abs(analytic - value) / (atol + rtol * max(scale, abs(value)) + noise / step)

        if excess(numeric, step) > 1:
            closer, gap_closer = check.difference(move, epsilon / STEP_SHRINK)
            moved = abs(gap_closer - gap / STEP_SHRINK) + 2 * abs(numeric - closer)
            if excess(closer, epsilon / STEP_SHRINK) > 1 and moved > 0.25 * abs(analytic - closer):
                skipped += 1
                continue
            numeric, step = closer, epsilon / STEP_SHRINK
        pairs.append((excess(numeric, step), place, float(analytic), float(numeric)))

    scale = max(scale, max((abs(numeric) for *_, numeric in pairs), default=0.0), atol / max(rtol, 1e-12), 1e-300)
    exceeds, place, analytic, numeric = max(pairs, key=lambda p: p[0], default=(0.0, None, 0.0, 0.0))
    largest = float(np.abs(gradient).max(initial=0.0))
    ok = exceeds <= 1
    if not ok:
        where = f"index {place}" if exact else "a random direction"
        check.problems.append(
            f"{name}: wrong at {where}: backward gives {analytic:.9g}, finite differences {numeric:.9g} "
            f"(largest gradient of the tensor {largest:.3g}; {sum(p[0] > 1 for p in pairs)} of {len(pairs)} wrong)"
        )
    if skipped > max_skipped * tensor.size if exact else len(pairs) < DRAWS:
        ok = False
        check.problems.append(
            f"{name}: {skipped} of {skipped + len(pairs)} {'elements' if exact else 'directions'} lie on a kink (ReLU "
            "at 0, tie in a max), which proves nothing: use random x, not integers or zeros, or a smaller epsilon"
        )
    worst_error = max((abs(analytic - numeric) for *_, analytic, numeric in pairs), default=0.0)
    return TensorCheck(
        name, tensor.shape, len(pairs), skipped, worst_error, worst_error / scale, place, analytic, numeric, largest, ok
    )


def _elements(tensor, gradient):
    """For each element: its index, a function that moves it by a step, its analytic gradient."""
    for flat, index in enumerate(np.ndindex(tensor.shape)):
        kept = tensor.flat[flat]

        def move(step, flat=flat, kept=kept):
            tensor.flat[flat] = kept + step
            return tensor.flat[flat] - kept  # the step that was really taken, after rounding

        yield index, move, gradient.flat[flat]


def _directions(tensor, gradient, rng):
    """The same for random unit vectors: twice as many as needed, since some may meet a kink."""
    kept = tensor.copy()
    for _ in range(2 * DRAWS):
        direction = rng.normal(size=tensor.shape)
        direction /= np.linalg.norm(direction)

        def move(step, direction=direction):
            tensor[...] = kept + step * direction
            return step

        yield None, move, np.vdot(gradient, direction)


def _named_layers(target: Any) -> list[tuple[str, Layer, bool]]:
    """Every layer of `target`, depth first: (prefix of its parameters' names, layer, whether it is trained)."""
    found: list[tuple[str, Layer, bool]] = []

    def descend(layers: Sequence[Layer], trainable: bool) -> None:
        if layers != [target]:
            name_layers([layer for layer in layers if not layer.name])
        for layer in layers:
            path = "" if layer is target else f"{str(layer.name).removeprefix(prefix)}/"
            found.append((path, layer, trainable and layer.trainable))
            descend(layer.sublayers(), trainable and layer.trainable)

    prefix = f"{target.name}/" if isinstance(target, Layer) and target.name else ""
    descend([target] if isinstance(target, Layer) else target.layers, True)
    return found


@contextmanager
def _undisturbed(layers, rng):
    """Disturb constant tensors inside the block; put everything back after it.

    Yields a function that puts running statistics back to where they were after the disturbance.
    """
    params = [(array, array.copy()) for layer in layers for array in layer.params.values()]
    states = [(layer.state, key, array.copy()) for layer in layers for key, array in layer.state.items()]
    frozen = [(layer, layer.frozen) for layer in layers if hasattr(layer, "frozen")]
    generators = [(layer.rng, layer.rng.bit_generator.state) for layer in layers if layer.rng is not None]
    for array, _ in params:
        if array.size and np.ptp(array) == 0:
            array += 0.2 * rng.normal(size=array.shape)
    for state, key, _ in states:
        if state[key].dtype.kind == "f":  # upwards only: a variance must stay positive
            state[key] += 0.2 * np.abs(rng.normal(size=state[key].shape))
    disturbed = [(state, key, state[key].copy()) for state, key, _ in states]

    def restore(saved):
        for state, key, value in saved:
            state[key][...] = value

    try:
        yield lambda: restore(disturbed)
    finally:
        for array, value in params:
            array[...] = value
        restore(states)
        for layer, flag in frozen:
            layer.frozen = flag
        for generator, state in generators:
            generator.bit_generator.state = state
