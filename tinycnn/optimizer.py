"""What all optimizers share: learning rate, clipping, decay, and the arrays kept per parameter."""

import math
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tinycnn.arguments import brief, flag, listed, number, of_class, shown, whole_number
from tinycnn.foreign import Answers
from tinycnn.kernels.aligned import aligned_zeros_like
from tinycnn.kernels.sets import active

Array = np.ndarray
Rate = float | Callable[[int], float]  # a learning rate, or a schedule of them


class Parameter(NamedTuple):
    """A parameter in one step of an optimizer; see `Optimizer.update`."""

    param: Array
    grad: Array
    kept: list[Array]
    decay: float


def arrays_and_decays(parameters: Sequence[Parameter]) -> tuple[list[tuple[Array, ...]], list[float]]:
    """``[(param, grad, *kept), ...]`` and ``[decay, ...]``, as the kernels of a whole step take them."""
    return [(param, grad, *kept) for param, grad, kept, _ in parameters], [of.decay for of in parameters]


class Optimizer(Answers):
    """What `SGD`, `RMSprop` and `Adam` share: learning rate, clipping, decay, and arrays kept per parameter.

    A subclass names the arrays in `slots`, keeps its constructor's arguments as attributes of the same names, and
    writes its equation in `update`.

    Attributes
    ----------
    learning_rate : float or callable
        A callable, such as those of `tinycnn.schedules`, is called with `iterations` before each update.  May be
        assigned to between steps.
    iterations : int
        Updates done so far.
    slots : tuple of str
        Of a class: names of the arrays kept for each parameter.
    """

    slots: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, learning_rate: Rate, weight_decay: float, global_clipnorm: float | None, decay_vectors: bool
    ) -> None:
        name = type(self).__name__
        if isinstance(learning_rate, type):
            raise ValueError(f"{name}: learning_rate must be an object, not the class {learning_rate.__name__}")
        if not callable(learning_rate):
            learning_rate = number(learning_rate, f"{name}: learning_rate")
        if global_clipnorm is not None:
            global_clipnorm = number(global_clipnorm, f"{name}: global_clipnorm")
            if global_clipnorm == 0:
                raise ValueError(f"{name}: global_clipnorm must be positive, or None for no clipping")
        self.learning_rate = learning_rate
        self.weight_decay = number(weight_decay, f"{name}: weight_decay")
        self.global_clipnorm = global_clipnorm
        self.decay_vectors = flag(decay_vectors, f"{name}: decay_vectors")
        self.iterations = 0
        self._kept: dict[str, list[Array]] = {}  # by parameter: one array per slot, zero before the first update
        self._owners: dict[str, weakref.ref[Array]] = {}  # by parameter: itself, as two models' keys are often the same

    def update(self, param: Array, grad: Array, kept: list[Array], rate: float, decay: float, scale: float) -> None:
        """Move one parameter, in place: the optimizer's equation.

        Parameters
        ----------
        param, grad : ndarray
            Of one shape and dtype.
        kept : list of ndarray
            As `param`, one for each of `slots`, zero before the first update; changed in place.
        rate, decay, scale : float
            Learning rate; share of the parameter to take off; factor of the gradient, below 1 when it is clipped.
        """
        raise NotImplementedError

    def __init_subclass__(cls) -> None:
        if "update" in vars(cls) and "update_all" not in vars(cls):
            cls.update_all = Optimizer.update_all  # type: ignore[method-assign]  # that of a base has another equation

    def update_all(self, parameters: Sequence["Parameter"], rate: float, scale: float) -> None:
        """Move all parameters: by `update` one after the other, where no subclass does it at once."""
        for param, grad, kept, decay in parameters:
            self.update(param, grad, kept, rate, decay, scale)

    def step(self, parameters: Iterable[tuple[str, Array, Array]]) -> None:
        """Update every parameter in place, once.

        Parameters
        ----------
        parameters : iterable of (key, param, grad)
            As from ``model.parameters()``: `key` names the parameter for good, `grad` has the shape and dtype of
            `param`; both are C-contiguous.  All must be there at each step, since clipping uses the norm over all.

        Raises
        ------
        ValueError
            If a gradient does not fit its parameter, a key comes twice, or a key now names another array.
        """
        found = {}
        for entry in listed(parameters, "parameters"):
            if not isinstance(entry, tuple | list) or len(entry) != 3:
                raise ValueError(f"each of parameters must be (key, parameter, gradient), got {brief(entry)}")
            key, param, grad = entry
            of_class(param, np.ndarray, f"parameter {key}")
            if key in found:
                raise ValueError(f"{type(self).__name__}: parameter '{key}' came twice in one step")
            found[key] = param, grad
            self._check(key, param, grad)
        rate, scale = self.current_learning_rate, 1.0
        if self.global_clipnorm is not None:
            norm = math.sqrt(sum(active().sum_of_squares(grad) for _, grad in found.values()))
            scale = self.global_clipnorm / max(self.global_clipnorm, norm)
        chosen = []
        for key, (param, grad) in found.items():
            decay = rate * self.weight_decay if self.decay_vectors or param.ndim > 1 else 0.0
            chosen.append(Parameter(param, grad, self._kept[key], decay))
        self.update_all(chosen, rate, scale)
        self.iterations += 1

    def _check(self, key: str, param: Array, grad: Array) -> None:
        """Refuse what does not fit; make what is kept for a parameter that is new."""
        fits = grad.shape == param.shape and grad.dtype == param.dtype
        if fits and key in self._owners and self._owners[key]() is param:
            return  # what is kept was looked at when it came first
        name, now = type(self).__name__, f"{param.shape} {param.dtype}"
        if not fits:
            raise ValueError(f"{name}: the gradient of '{key}' is {grad.shape} {grad.dtype}, the parameter {now}")
        if key not in self._kept:
            self._kept[key] = [aligned_zeros_like(param) for _ in self.slots]
        for slot, array in zip(self.slots, self._kept[key], strict=True):
            if (array.shape, array.dtype) != (param.shape, param.dtype):
                raise ValueError(
                    f"{name}: '{key}' is now {now}, but its {slot} is {array.shape} {array.dtype}; use a new "
                    "optimizer for another model"
                )
        if self._owners.setdefault(key, weakref.ref(param))() is not param:
            raise ValueError(
                f"{name}: '{key}' is another model's, or its model was built again; the {' and '.join(self.slots)} "
                "kept here belong to the first: use a new optimizer"
            )

    @property
    def current_learning_rate(self) -> float:
        """The rate of the next update, a float."""
        rate = self.learning_rate
        return float(rate(self.iterations) if callable(rate) else rate)

    def config(self) -> dict[str, Any]:
        """Constructor arguments as a dict; JSON-able unless `learning_rate` is a callable."""
        return {key: value for key, value in vars(self).items() if key != "iterations" and not key.startswith("_")}

    def __repr__(self) -> str:
        return shown(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_owners": {}}  # a copy updates copies

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that a resumed run needs: ``iterations`` and, for example, ``conv2d/kernel/momentum``.

        The constructor's arguments are not in it, except a plain `learning_rate`, which callbacks may have lowered.
        """
        state: dict[str, Any] = {"iterations": self.iterations}
        if not callable(self.learning_rate):
            state["learning_rate"] = float(self.learning_rate)
        for key, kept in self._kept.items():
            state.update((f"{key}/{slot}", array.copy()) for slot, array in zip(self.slots, kept, strict=True))
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; the next step is then bit-identical to that of an uninterrupted run.

        Scalars may be 0-d arrays, as ``np.load`` returns them.

        Raises
        ------
        ValueError
            If `state` is of another kind of optimizer, or incomplete; nothing is changed then.
        """
        of_class(state, Mapping, "state")
        name, arrays = type(self).__name__, dict(state)
        iterations, rate = arrays.pop("iterations", None), arrays.pop("learning_rate", self.learning_rate)
        if iterations is None:
            raise ValueError(f"{name}: no 'iterations' in this state; it is not from an optimizer's state_dict")
        if iterations != 0:
            iterations = whole_number(iterations, f"{name}: iterations", below=2**53)  # floats count no further
        rate = rate if callable(rate) else number(rate, f"{name}: learning_rate")
        if callable(self.learning_rate) and not callable(rate):
            raise ValueError(f"{name}: the state is from a run with a plain learning rate, this one has a schedule")
        found: dict[str, dict[str, Array]] = {}
        for entry, value in arrays.items():
            key, _, slot = entry.rpartition("/")
            if slot not in self.slots:
                raise ValueError(f"{name} keeps {list(self.slots)} for each parameter, but the state has '{entry}'")
            found.setdefault(key, {})[slot] = array = np.array(value, order="C")
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"{name}: '{entry}' must be of finite floats, got {array.dtype}")
        for key, kept in found.items():
            if len(kept) < len(self.slots):
                raise ValueError(f"{name}: of '{key}' the state has only {sorted(kept)}, not {list(self.slots)}")
        self.iterations = int(iterations)
        self.learning_rate = rate
        self._kept = {key: [kept[slot] for slot in self.slots] for key, kept in found.items()}
        self._owners = {}
