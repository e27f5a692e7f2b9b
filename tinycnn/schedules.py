"""Learning-rate schedules: plain callables from the number of steps already taken to a learning rate.

Any function of one int serves as ``learning_rate=`` of an optimizer; these three are Keras's, with its arguments.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from tinycnn.arguments import brief, flag, listed, number, shown, whole_number
from tinycnn.lazy import missing

__getattr__ = missing(__name__)


class Schedule:
    """A learning rate as a function of the step; two with the same `config` are equal."""

    def __call__(self, step: int) -> float:
        """Learning rate for the update after `step` updates, a float."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Constructor arguments as a JSON-able dict."""
        return dict(vars(self))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.config() == other.config()

    def __repr__(self) -> str:
        return shown(self)


class ExponentialDecay(Schedule):
    r"""Multiply by `decay_rate` every `decay_steps` steps: :math:`r(s) = r_0\, d^{\,s / S}`.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        :math:`S`, in optimizer steps (batches), not epochs.
    decay_rate : float
        :math:`d`.
    staircase : bool
        Round :math:`s / S` down, so that the rate falls in steps.

    Examples
    --------
    >>> schedule = ExponentialDecay(0.5, decay_steps=10, decay_rate=0.25)
    >>> schedule(0), schedule(5), schedule(10)
    (0.5, 0.25, 0.125)
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate = number(initial_learning_rate, "ExponentialDecay: initial_learning_rate")
        self.decay_steps = whole_number(decay_steps, "ExponentialDecay: decay_steps")
        self.decay_rate = number(decay_rate, "ExponentialDecay: decay_rate")
        self.staircase = flag(staircase, "ExponentialDecay: staircase")

    def __call__(self, step: int) -> float:
        power = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate**power


class PiecewiseConstantDecay(Schedule):
    """``values[0]`` up to and including step ``boundaries[0]``, then ``values[1]`` and so on.

    Parameters
    ----------
    boundaries : sequence of int
        Strictly increasing steps.
    values : sequence of float
        One more than boundaries.

    Examples
    --------
    >>> schedule = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> schedule(0), schedule(100), schedule(101), schedule(1000)
    (0.1, 0.1, 0.01, 0.001)
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        self.boundaries = [whole_number(step, "boundaries") for step in listed(boundaries, "boundaries")]
        self.values = [number(value, "PiecewiseConstantDecay: values") for value in listed(values, "values")]
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay: {len(self.boundaries)} boundaries need {len(self.boundaries) + 1} values, "
                f"got {len(self.values)}"
            )
        if sorted(set(self.boundaries)) != self.boundaries:
            raise ValueError(f"PiecewiseConstantDecay: boundaries must increase strictly, got {self.boundaries}")

    def __call__(self, step: int) -> float:
        return self.values[bisect_left(self.boundaries, step)]


class CosineDecay(Schedule):
    r"""Half a cosine from the initial rate down to `alpha` times it, after an optional linear warm-up.

    .. math:: r(s) = r_0 \left[(1 - \alpha)\,\tfrac12 \left(1 + \cos\frac{\pi s}{S}\right) + \alpha\right],
              \qquad 0 \le s \le S,

    and constant afterwards.  With a warm-up, the rate first climbs in `warmup_steps` steps from
    `initial_learning_rate` to `warmup_target`; the cosine then starts from there, with `s` counted from its start.

    Parameters
    ----------
    initial_learning_rate : float
        :math:`r_0`.
    decay_steps : int
        :math:`S`, the cosine's length in optimizer steps (batches), warm-up not included.
    alpha : float
        The last rate as a share of the cosine's first.
    warmup_target : float, optional
    warmup_steps : int
        Both or neither; Keras ignores `warmup_steps` without a target, here it is an error.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), equation 5.

    Examples
    --------
    >>> schedule = CosineDecay(0.0, decay_steps=100, warmup_target=0.5, warmup_steps=10)
    >>> schedule(0), schedule(5), schedule(10), round(schedule(60), 9), schedule(110)
    (0.0, 0.25, 0.5, 0.25, 0.0)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        if (warmup_target is None) == flag(warmup_steps, "CosineDecay: warmup_steps"):
            raise ValueError(
                f"CosineDecay: a warm-up needs both, got warmup_target={brief(warmup_target)} and "
                f"warmup_steps={brief(warmup_steps)}"
            )
        self.initial_learning_rate = number(initial_learning_rate, "CosineDecay: initial_learning_rate")
        self.decay_steps = whole_number(decay_steps, "CosineDecay: decay_steps")
        self.alpha = number(alpha, "CosineDecay: alpha")
        self.warmup_target = None if warmup_target is None else number(warmup_target, "CosineDecay: warmup_target")
        self.warmup_steps = whole_number(warmup_steps, "CosineDecay: warmup_steps") if warmup_steps else 0

    def __call__(self, step: int) -> float:
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top = self.warmup_target
        done = min(step - self.warmup_steps, self.decay_steps) / self.decay_steps
        return top * ((1 - self.alpha) * 0.5 * (1 + math.cos(math.pi * done)) + self.alpha)
