"""Optimizers: how parameters move along their gradients.  The arithmetic is one kernel pass over each."""

import math
from collections.abc import Sequence

import numpy as np

from tinycnn.arguments import chosen, flag, number
from tinycnn.kernels.sets import active
from tinycnn.lazy import missing
from tinycnn.optimizer import Array, Optimizer, Parameter, Rate, arrays_and_decays

__getattr__ = missing(__name__)

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "get"]


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
        self.momentum = number(momentum, "SGD: momentum", below=1)
        self.nesterov = flag(nesterov, "SGD: nesterov")
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: nesterov=True has no effect without momentum; give momentum=0.9, for example")

    def update_all(self, parameters: Sequence[Parameter], rate: float, scale: float) -> None:
        active().sgd_step(*arrays_and_decays(parameters), rate, self.momentum, self.nesterov, scale)


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
        self.beta_1 = number(beta_1, "Adam: beta_1", below=1)
        self.beta_2 = number(beta_2, "Adam: beta_2", below=1)
        self.epsilon = number(epsilon, "Adam: epsilon")

    def update_all(self, parameters: Sequence[Parameter], rate: float, scale: float) -> None:
        t = self.iterations + 1
        corrected = rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        numbers = corrected, self.beta_1, self.beta_2, self.epsilon
        active().adam_step(*arrays_and_decays(parameters), *numbers, scale)


class AdamW(Adam):
    r"""`Adam` with Keras's weight decay of 0.004 and its order of arguments.

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019).

    Examples
    --------
    >>> AdamW().weight_decay, Adam(weight_decay=0.004).config() == AdamW().config()
    (0.004, True)
    """

    def __init__(
        self,
        learning_rate: Rate = 1e-3,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        global_clipnorm: float | None = None,
        decay_vectors: bool = True,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, global_clipnorm, decay_vectors)


class RMSprop(Optimizer):
    r"""Gradients divided by the root of their mean square.

    For a parameter :math:`p` with gradient :math:`g`, learning rate :math:`r`, momentum :math:`\mu`, decay
    :math:`\lambda`, starting from :math:`v = m = 0`:

    .. math::
        v \leftarrow \rho v + (1 - \rho) g^2, \qquad m \leftarrow \mu m + r g / \sqrt{v + \epsilon}, \qquad
        p \leftarrow p - m - r \lambda p .

    As in Keras, :math:`\epsilon` is inside the root; PyTorch's is outside, and its momentum takes the rate later.

    Parameters
    ----------
    learning_rate : float or callable
        Or a schedule ``step -> float``.
    rho, momentum : float
        In ``[0, 1)``.
    epsilon : float
        Not negative.
    weight_decay, global_clipnorm, decay_vectors
        As in `SGD`.

    References
    ----------
    Tieleman and Hinton, "Lecture 6.5: rmsprop" (2012).

    Examples
    --------
    >>> p, g = np.array([1.0, 2.0]), np.array([4.0, -0.001])
    >>> RMSprop(0.25, rho=0.75, epsilon=0.0).step([("p", p, g)])
    >>> p.tolist()                                      # the first step has the length rate / sqrt(1 - rho)
    [0.5, 2.5]
    """

    slots = ("velocity", "momentum")

    def __init__(
        self,
        learning_rate: Rate = 1e-3,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        global_clipnorm: float | None = None,
        decay_vectors: bool = True,
    ) -> None:
        super().__init__(learning_rate, weight_decay, global_clipnorm, decay_vectors)
        self.rho = number(rho, "RMSprop: rho", below=1)
        self.momentum = number(momentum, "RMSprop: momentum", below=1)
        self.epsilon = number(epsilon, "RMSprop: epsilon")

    def update(self, param: Array, grad: Array, kept: list[Array], rate: float, decay: float, scale: float) -> None:
        v, m = kept
        g = grad * param.dtype.type(scale)
        v += (1 - self.rho) * (np.square(g) - v)
        m *= self.momentum
        m += rate * g / np.sqrt(v + self.epsilon)
        param -= m + decay * param


BY_NAME = {"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": SGD}


def get(optimizer: Optimizer | str | None) -> Optimizer:
    """The optimizer that an ``optimizer=`` argument stands for.

    Parameters
    ----------
    optimizer : Optimizer, str or None
        "adam", "adamw", "rmsprop" or "sgd", with the default learning rate, as in Keras; None is `Adam`.

    Raises
    ------
    ValueError
        For anything else, such as a class in place of an object.

    Examples
    --------
    >>> get("sgd").learning_rate, type(get(None)).__name__
    (0.01, 'Adam')
    """
    return chosen("adam" if optimizer is None else optimizer, "optimizer", Optimizer, BY_NAME)
