"""Compare the gradients that a layer, a loss or a model computes with finite differences."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import brief, flag, generator, number, numbers, one_of, share
from tinycnn.gradcheck_moves import DRAWS, directions, elements, undisturbed
from tinycnn.gradcheck_result import GradcheckResult, TensorCheck
from tinycnn.layers.base import Layer
from tinycnn.suspicion import suspicion

LARGEST = 1_000_000  # numbers of which the shares of a wrong gradient may consist
STEP_SHRINK = 8  # a mismatch is looked at again with a step this many times smaller


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

    Of a wrong gradient `tinycnn.suspicion` tells the likely cause where the pattern shows it: the sign, a factor, axes
    exchanged or reversed, numbers one place off, one image or channel that is wrong by itself, a mean that is not
    subtracted, a sum that is not taken or ends one short, a kernel turned around, an upstream gradient not used.

    Parameters or running statistics that are constant (a bias of zeros, a gamma of ones) are disturbed, because a
    constant hides errors.  The layers' random generators are put back before each forward pass, so that dropout draws
    the same mask.  Afterwards all of these are as they were, and ``grads`` hold the checked gradients.

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
    one_of(mode, "gradcheck: mode", ("exact", "random"))
    x = np.array(numbers(x, "gradcheck: x"), dtype=np.float64, order="C")
    is_loss = not isinstance(target, Layer) and not hasattr(target, "layers")
    if is_loss != (labels is not None):
        raise ValueError(
            f"gradcheck: {type(target).__name__} "
            + ("is taken for a loss, which needs labels=..." if is_loss else "takes no labels: they are for losses")
        )
    if not hasattr(target, "forward"):
        raise ValueError(f"gradcheck: target must be a layer, a model or a loss, got {brief(target)}")
    rng = generator(seed)
    epsilon, rtol, atol = number(epsilon, "epsilon"), number(rtol, "rtol"), number(atol, "atol")
    max_skipped = share(max_skipped, "max_skipped")
    if not is_loss and target.output_shape is None:
        target.build(x.shape[1:], dtype=np.float64)
    layers = [] if is_loss else list(_layers([target] if isinstance(target, Layer) else target.layers))
    for layer, _ in layers:
        if layer.dtype is not None and layer.dtype != np.float64:
            raise ValueError(
                f"gradcheck: {layer.where()} was built in {layer.dtype}; finite differences need float64: pass an "
                "unbuilt layer or build it with dtype=np.float64"
            )
    result = GradcheckResult(f"gradcheck of {type(target).__name__}, {mode} mode, training={training}")
    check = _Check(target, x, labels, layers, training, result.problems)
    tolerance = _Tolerance(mode == "exact", epsilon, rtol, atol, max_skipped)
    with undisturbed([layer for layer, _ in layers], rng) as check.put_back:
        for name, tensor, gradient in check.prepare(rng):
            moves = elements(tensor, gradient) if mode == "exact" else directions(tensor, gradient, rng)
            result.table.append(_compare(check, name, tensor, gradient, moves, tolerance))
    if flag(verbose, "verbose"):
        print(result)
    if flag(raise_on_error, "raise_on_error") and not result.ok:
        raise GradientError(str(result))
    return result


class _Check:
    """One target: its outputs at the present values, and the analytic gradients with their wiring."""

    put_back: Callable[[], None]

    def __init__(self, target, x, labels, layers, training, problems):
        self.target, self.x, self.labels, self.layers, self.training = target, x, labels, layers, training
        self.problems = problems

    def outputs(self):
        """Forward at the present values, as a fresh array (a model reuses its output buffers)."""
        self.put_back()
        if self.labels is not None:
            return np.array(self.target.forward(self.x, self.labels), dtype=np.float64)
        return np.array(self.target.forward(self.x, training=self.training))

    def prepare(self, rng):
        """Check the wiring; list (name, tensor, analytic gradient), empty if finite differences make no sense."""
        before = self.x.copy()
        y = self.outputs()
        if not np.array_equal(before, self.x):
            self.problems.append("forward changed its input x in place")
        if y.dtype != np.float64:
            self.problems.append(f"forward of a float64 input returned {y.dtype}")
        if not np.all(np.isfinite(y)):
            self.problems.append("forward returned NaN or infinite values")
        self.upstream = np.ones(()) if self.labels is not None else rng.normal(size=y.shape)
        self.y = self.outputs()
        if not np.array_equal(self.y, self.outputs(), equal_nan=True):
            self.problems.append(
                "two forward passes on the same input differ: random numbers that are not from the layer's 'rng'"
            )
        first = [] if self.problems else self.gradients()
        second = [] if self.problems else self.gradients()
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

    def gradients(self):
        """List of (name, tensor, copy of its gradient) from one forward and backward."""
        for layer, _ in self.layers:
            for gradient in layer.grads.values():
                gradient[...] = np.nan  # what backward does not overwrite stays NaN
        self.outputs()
        grad_x = self.target.backward() if self.labels is not None else self.target.backward(self.upstream.copy())
        found = [("input", self.x, grad_x)]
        own = f"{self.target.name or ''}/" if isinstance(self.target, Layer) else ""  # left out of names
        for layer, trainable in self.layers:
            if trainable:
                if set(layer.params) != set(layer.grads):
                    self.problems.append(f"{layer.where()}: params {sorted(layer.params)}, grads {sorted(layer.grads)}")
                for key, param in layer.params.items():
                    found.append((f"{layer.name or ''}/{key}".removeprefix(own), param, layer.grads.get(key)))
        faults = [(name, _fault(tensor, gradient)) for name, tensor, gradient in found]
        self.problems += [f"{name}: {fault}" for name, fault in faults if fault]
        return [] if self.problems else [(name, tensor, gradient.copy()) for name, tensor, gradient in found]

    def sides(self, move, step):
        """Outputs ahead and behind along `move`, and how far they lie apart."""
        taken = move(step)
        ahead = self.outputs()
        taken -= move(-step)
        behind = self.outputs()
        move(0.0)
        return ahead, behind, taken

    def difference(self, move, step):
        """Central difference, and the gap between the one-sided ones, along `move` with `step`."""
        ahead, behind, taken = self.sides(move, step)
        central = np.vdot(self.upstream, ahead - behind) / taken
        gap = np.vdot(self.upstream, ahead - 2 * self.y + behind) / (taken / 2)
        return float(central), float(gap)

    def shares(self, tensor, gradient, step):
        """What each output adds to each element's difference, (*tensor.shape, *y.shape); None for a large tensor."""
        if tensor.size * self.y.size > LARGEST:
            return None
        found = np.empty((*tensor.shape, *self.y.shape))
        for index, move, _ in elements(tensor, gradient):
            ahead, behind, taken = self.sides(move, step)
            found[index] = self.upstream * (ahead - behind) / taken
        return found

    def counts(self):
        """Sizes by which a gradient is divided, or not, by mistake."""
        n = {"images": len(self.x)}
        if self.y.ndim == 4:
            pixels = self.y.shape[1] * self.y.shape[2]
            n |= {"output pixels of an image": pixels, "output pixels": len(self.x) * pixels}
        return n


def _fault(tensor, gradient):
    """What keeps `gradient` from being one of `tensor` at all, in words, or None."""
    if not isinstance(gradient, np.ndarray):
        return f"backward gave {gradient!r} instead of an array"
    if gradient.shape != tensor.shape:
        hint = ": transposed?" if sorted(gradient.shape) == sorted(tensor.shape) else ""
        return f"gradient of shape {gradient.shape} for a tensor of shape {tensor.shape}{hint}"
    if gradient.dtype != np.float64:
        return f"gradient in {gradient.dtype} for a float64 tensor"
    if (bad := np.argwhere(~np.isfinite(gradient))).size:
        index = tuple(bad[0].tolist())
        return (
            f"the gradient is {gradient[index]} at {index}. It was filled with NaN beforehand: backward left it "
            "unwritten, added to it instead of overwriting it, or computed it so"
        )
    return None


class _Tolerance(NamedTuple):
    """How the differences are taken, and how far they may be off; see `gradcheck`."""

    exact: bool
    epsilon: float
    rtol: float
    atol: float
    max_skipped: float


class _Pair(NamedTuple):
    """Both gradients of one element or direction."""

    excess: float  # their difference as a multiple of the allowed one
    place: tuple[int, ...] | None
    analytic: float
    numeric: float


def _compare(check, name, tensor, gradient, moves, tolerance):
    """Compare one tensor's gradient with finite differences along `moves`."""
    exact, epsilon, rtol, atol, max_skipped = tolerance
    largest = float(np.abs(gradient).max(initial=0.0))
    scale = largest if exact else float(np.linalg.norm(gradient)) / max(gradient.size, 1) ** 0.5
    noise = 8 * np.finfo(np.float64).eps * np.linalg.norm(check.upstream * check.y)

    def pair(place, analytic, numeric, step):
        allowed = atol + rtol * max(scale, abs(numeric)) + noise / step
        return _Pair(abs(analytic - numeric) / allowed, place, analytic, numeric)

    pairs: list[_Pair] = []
    skipped = 0
    for place, move, analytic in moves:
        if not exact and len(pairs) == DRAWS:
            break
        numeric, gap = check.difference(move, epsilon)
        found = pair(place, analytic, numeric, epsilon)
        if found.excess > 1:
            closer, gap_closer = check.difference(move, epsilon / STEP_SHRINK)
            found = pair(place, analytic, closer, epsilon / STEP_SHRINK)
            moved = abs(gap_closer - gap / STEP_SHRINK) + 2 * abs(numeric - closer)
            if found.excess > 1 and moved > 0.25 * abs(analytic - closer):
                skipped += 1
                continue
        pairs.append(found)

    worst = max(pairs, key=lambda p: p.excess, default=_Pair(0.0, None, 0.0, 0.0))
    wrong, cause = sum(p.excess > 1 for p in pairs), None
    if wrong:
        where = f"index {worst.place}" if exact else "a random direction"
        check.problems.append(
            f"{name}: wrong at {where}: backward gives {worst.analytic:.9g}, finite differences {worst.numeric:.9g} "
            f"(largest gradient of the tensor {largest:.3g}; {wrong} of {len(pairs)} wrong)"
        )
        cause = _cause(check, tensor, gradient, pairs, tolerance)
    on_kinks = skipped > max_skipped * tensor.size if exact else len(pairs) < DRAWS
    if on_kinks:
        check.problems.append(
            f"{name}: {skipped} of {skipped + len(pairs)} {'elements' if exact else 'directions'} lie on a kink (ReLU "
            "at 0, tie in a max), which proves nothing: use random x, not integers or zeros, or a smaller epsilon"
        )
    error = max((abs(p.analytic - p.numeric) for p in pairs), default=0.0)
    scale = max([scale, atol / max(rtol, 1e-12), 1e-300, *(abs(p.numeric) for p in pairs)])
    return TensorCheck(
        name,
        tensor.shape,
        checked=len(pairs),
        skipped=skipped,
        max_abs_error=error,
        max_rel_error=error / scale,
        worst_index=worst.place,
        analytic=worst.analytic,
        numeric=worst.numeric,
        largest_gradient=largest,
        ok=not wrong and not on_kinks,
        suspicion=cause,
    )


def _cause(check, tensor, gradient, pairs, tolerance):
    """What the pattern of the errors of one tensor makes suspect, or None."""
    if not tolerance.exact:
        analytic, numeric = np.array([p.analytic for p in pairs]), np.array([p.numeric for p in pairs])
        return suspicion(analytic, numeric, counts=check.counts())
    numeric = np.full(tensor.shape, np.nan)  # stays NaN on kinks
    for p in pairs:
        numeric[p.place] = p.numeric
    return suspicion(
        gradient, numeric, check.shares(tensor, gradient, tolerance.epsilon), check.upstream, check.counts()
    )


def _layers(layers: Iterable[Layer], trainable: bool = True) -> Iterator[tuple[Layer, bool]]:
    """Every layer and everything inside it, depth first, and whether it is trained: it and all that it lies in."""
    for layer in layers:
        yield layer, trainable and layer.trainable
        yield from _layers(layer.sublayers(), trainable and layer.trainable)
