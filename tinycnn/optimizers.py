"""Optimizers: how parameters move along their gradients.  The arithmetic is one kernel pass per parameter."""

import math
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from tinycnn.kernels.aligned import aligned_zeros_like
from tinycnn.kernels.sets import active

Rate = float | Callable[[int], float]  # a learning rate, or a schedule of them


class Optimizer:
    """What `SGD` and `Adam` share: learning rate, clipping, decay, and moments kept per parameter.

    Attributes
    ----------
    learning_rate : float or callable
        A callable, such as those of `tinycnn.schedules`, is called with `iterations` before each update.  May be
        assigned to between steps.
    iterations : int
        Updates done so far.
    """

    slots: ClassVar[tuple[str, ...]] = ()  # names of the arrays kept for each parameter

    def __init__(
        self, learning_rate: Rate, weight_decay: float, global_clipnorm: float | None, decay_vectors: bool
    ) -> None:
        name = type(self).__name__
        if not callable(learning_rate):
            learning_rate = _number(learning_rate, f"{name}: learning_rate")
        if global_clipnorm is not None and not _number(global_clipnorm, f"{name}: global_clipnorm") > 0:
            raise ValueError(f"{name}: global_clipnorm must be positive, or None for no clipping")
        self.learning_rate: Rate = learning_rate
        self.weight_decay = _number(weight_decay, f"{name}: weight_decay")
        self.decay_vectors = bool(decay_vectors)
        self.global_clipnorm = None if global_clipnorm is None else float(global_clipnorm)
        self.iterations = 0
        self._kept: dict[
            str, list[np.ndarray]
        ] = {}  # parameter key -> one array per slot, zero before the first update
        self._owners: dict[
            str, weakref.ref[np.ndarray]
        ] = {}  # key -> the array they belong to: two models' keys are often the same

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_owners": {}}  # a copy updates copies

    def step(self, parameters: Iterable[tuple[str, np.ndarray, np.ndarray]]) -> None:
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
        parameters = list(parameters)
        keys = set()
        for key, param, grad in parameters:
            if key in keys:
                raise ValueError(f"{type(self).__name__}: parameter '{key}' came twice in one step")
            keys.add(key)
            if grad.shape != param.shape or grad.dtype != param.dtype:
                raise ValueError(
                    f"{type(self).__name__}: the gradient of '{key}' is {grad.shape} {grad.dtype}, "
                    f"the parameter {param.shape} {param.dtype}"
                )
            if key not in self._kept:
                self._kept[key] = [aligned_zeros_like(param) for _ in self.slots]
            for slot, kept in zip(self.slots, self._kept[key], strict=True):
                if kept.shape != param.shape or kept.dtype != param.dtype:
                    raise ValueError(
                        f"{type(self).__name__}: '{key}' is now {param.shape} {param.dtype}, but its {slot} is "
                        f"{kept.shape} {kept.dtype}; use a new optimizer for another model"
                    )
            owner = self._owners.setdefault(key, weakref.ref(param))
            if owner() is not param:
                raise ValueError(
                    f"{type(self).__name__}: '{key}' is another model's, or its model was built again; the "
                    f"{' and '.join(self.slots)} kept here belong to the first: use a new optimizer"
                )
        learning_rate = self.current_learning_rate
        scale = self._clip_scale(grad for _, _, grad in parameters)
        for key, param, grad in parameters:
            decay = learning_rate * self.weight_decay if self.decay_vectors or param.ndim > 1 else 0.0
            self._update(param, grad, self._kept[key], learning_rate, decay, scale)
        self.iterations += 1

    @property
    def current_learning_rate(self) -> float:
        """The rate of the next update, a float."""
        rate = self.learning_rate
        return float(rate(self.iterations) if callable(rate) else rate)

    def _clip_scale(self, gradients: Iterable[np.ndarray]) -> float:
        if self.global_clipnorm is None:
            return 1.0
        norm = math.sqrt(sum(active().sum_of_squares(grad) for grad in gradients))
        return self.global_clipnorm / norm if norm > self.global_clipnorm else 1.0

    def _update(
        self,
        param: np.ndarray,
        grad: np.ndarray,
        kept: list[np.ndarray],
        learning_rate: float,
        decay: float,
        scale: float,
    ) -> None:
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Constructor arguments as a dict; JSON-able unless `learning_rate` is a callable."""
        return {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "global_clipnorm": self.global_clipnorm,
            "decay_vectors": self.decay_vectors,
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.config().items())})"

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
        name = type(self).__name__
        if "iterations" not in state:
            raise ValueError(f"{name}: no 'iterations' in this state; it is not from an optimizer's state_dict")
        if "learning_rate" in state and callable(self.learning_rate):
            raise ValueError(f"{name}: the state is from a run with a plain learning rate, this one has a schedule")
        found: dict[str, dict[str, np.ndarray]] = {}
        for entry, value in state.items():
            if entry in ("iterations", "learning_rate"):
                continue
            key, _, slot = entry.rpartition("/")
            if slot not in self.slots:
                raise ValueError(f"{name} keeps {list(self.slots)} for each parameter, but the state has '{entry}'")
            found.setdefault(key, {})[slot] = np.array(value, order="C")
        for key, arrays in found.items():
            if len(arrays) < len(self.slots):
                raise ValueError(f"{name}: of '{key}' the state has only {sorted(arrays)}, not {list(self.slots)}")
        self.iterations = int(state["iterations"])
        if "learning_rate" in state:
            self.learning_rate = float(state["learning_rate"])
        self._kept = {key: [arrays[slot] for slot in self.slots] for key, arrays in found.items()}
        self._owners = {}


class SGD(Optimizer):
    r"""Gradient descent with momentum.

    For a parameter :math:`p` with gradient :math:`g`, learning rate :math:`r`, momentum :math:`\mu`, decay
    :math:`\lambda`, starting from velocity 0:

    .. math::
        v \leftarrow \mu v - r g, \qquad
        p \leftarrow p - r \lambda p + \begin{cases} \mu v - r g & \text{Nesterov} \\ v & \text{otherwise.} \end{cases}

    As in Keras, the velocity includes the learning rate (PyTorch's does not; they differ only while the rate changes).

    Parameters
    ----------
    learning_rate : float or callable
        Or a schedule ``step -> float``.
    momentum : float
        In ``[0, 1)``.
    nesterov : bool
        Look ahead along the velocity.
    weight_decay : float
        Decoupled from the gradient (AdamW's way) and by default applied to every parameter, as Keras does;
        PyTorch's SGD adds it to the gradient instead.
    global_clipnorm : float, optional
        If the norm of all gradients together is larger, they are scaled down to it.
    decay_vectors : bool
        False applies `weight_decay` to kernels alone, not to parameters with a single axis: biases, and the gamma and
        beta of a normalisation, which make a network neither simpler nor smoother by being small.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning" (2013).

    Examples
    --------
    >>> import numpy as np
    >>> p, g = np.array([1.0, 2.0]), np.array([4.0, -4.0])
    >>> optimizer = SGD(0.125, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.step([("p", p, g)])
    >>> p.tolist()                                      # velocities -0.5 and -0.75
    [-0.25, 3.25]
    """

    slots = ("momentum",)

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        global_clipnorm: float | None = None,
        decay_vectors: bool = True,
    ) -> None:
        super().__init__(learning_rate, weight_decay, global_clipnorm, decay_vectors)
        self.momentum = _share(momentum, "SGD: momentum")
        self.nesterov = bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: nesterov=True has no effect without momentum; give momentum=0.9, for example")

    def config(self) -> dict[str, Any]:
        return {**super().config(), "momentum": self.momentum, "nesterov": self.nesterov}

    def _update(
        self,
        param: np.ndarray,
        grad: np.ndarray,
        kept: list[np.ndarray],
        learning_rate: float,
        decay: float,
        scale: float,
    ) -> None:
        active().sgd_update(param, grad, kept[0], learning_rate, self.momentum, self.nesterov, decay, scale)


class Adam(Optimizer):
    r"""Adam, and AdamW when `weight_decay` is given.

    For a parameter :math:`p` with gradient :math:`g` at update :math:`t = 1, 2, \dots`, starting from
    :math:`m = v = 0`:

    .. math::
        m &\leftarrow m + (1 - \beta_1)(g - m), \qquad v \leftarrow v + (1 - \beta_2)(g^2 - v), \\
        r_t &= r \sqrt{1 - \beta_2^t} / (1 - \beta_1^t), \qquad
        p \leftarrow p - r_t\, m / (\sqrt v + \epsilon) - r \lambda p .

    As in Keras, the bias correction is in the rate, so :math:`\epsilon` is the paper's "epsilon hat"; PyTorch adds its
    epsilon to the corrected :math:`\sqrt{\hat v}`, which is :math:`\epsilon / \sqrt{1 - \beta_2^t}` here in effect.

    Parameters
    ----------
    learning_rate : float or callable
        Or a schedule ``step -> float``.
    beta_1, beta_2 : float
        In ``[0, 1)``.
    epsilon : float
        Not negative.
    weight_decay : float
        :math:`\lambda`, decoupled from the gradient and by default applied to every parameter, as in Keras.
    global_clipnorm : float, optional
        If the norm of all gradients together is larger, they are scaled down to it.
    decay_vectors : bool
        False applies `weight_decay` to kernels alone, not to parameters with a single axis: biases, and the gamma and
        beta of a normalisation, which make a network neither simpler nor smoother by being small.

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), end of section 2; Loshchilov and Hutter,
    "Decoupled Weight Decay Regularization" (2019).

    Examples
    --------
    >>> import numpy as np
    >>> p, g = np.array([1.0, 2.0]), np.array([4.0, -0.001])
    >>> optimizer = Adam(0.25, epsilon=0.0)
    >>> optimizer.step([("p", p, g)])
    >>> p.round(9).tolist()                             # the first step has the length of the rate
    [0.75, 2.25]
    """

    slots = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: Rate = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        global_clipnorm: float | None = None,
        decay_vectors: bool = True,
    ) -> None:
        super().__init__(learning_rate, weight_decay, global_clipnorm, decay_vectors)
        self.beta_1 = _share(beta_1, "Adam: beta_1")
        self.beta_2 = _share(beta_2, "Adam: beta_2")
        self.epsilon = _number(epsilon, "Adam: epsilon")

    def config(self) -> dict[str, Any]:
        return {**super().config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}

    def _update(
        self,
        param: np.ndarray,
        grad: np.ndarray,
        kept: list[np.ndarray],
        learning_rate: float,
        decay: float,
        scale: float,
    ) -> None:
        t = self.iterations + 1
        corrected = learning_rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        m, v = kept
        active().adam_update(param, grad, m, v, corrected, self.beta_1, self.beta_2, self.epsilon, decay, scale)


def _number(value: Any, what: str) -> float:
    value = float(value)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{what} must be finite and not negative, got {value}")
    return value


def _share(value: float, what: str) -> float:
    if not 0 <= value < 1:
        raise ValueError(f"{what} must be in [0, 1), got {value}")
    return float(value)


BY_NAME = {"adam": Adam, "sgd": SGD}


def get(optimizer: Optimizer | str | None) -> Optimizer:
    """The optimizer that an ``optimizer=`` argument stands for.

    Parameters
    ----------
    optimizer : Optimizer, str or None
        "adam" or "sgd", with the default learning rate; None is `Adam`.

    Raises
    ------
    ValueError
        For anything else, such as a class in place of an object.

    >>> get("sgd").learning_rate, type(get(None)).__name__
    (0.01, 'Adam')
    """
    if optimizer is None:
        return Adam()
    if isinstance(optimizer, str) and optimizer in BY_NAME:
        return BY_NAME[optimizer]()
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        raise ValueError(f"optimizer must be an object, not a class: write optimizer={optimizer.__name__}()")
    if not isinstance(optimizer, Optimizer):
        raise ValueError(
            f"optimizer must be an object such as Adam(1e-3), or one of {', '.join(BY_NAME)}; got {optimizer!r}"
        )
    return optimizer
