"""Several steps against PyTorch and Keras, which share no code with us; clipping, decay and resuming."""

import pickle

import numpy as np
import pytest

from tinycnn import optimizers
from tinycnn.optimizers import SGD, Adam, AdamW, Optimizer, get
from tinycnn.schedules import ExponentialDecay

pytestmark = pytest.mark.usefixtures("kernels")

SHAPES = {"a/kernel": (3, 3, 5, 7), "a/bias": (7,), "b/kernel": (129, 3), "b/gamma": (1,)}
STEPS = 6
RATE = 2.0**-7  # this and the betas are exact in float32, through which Keras takes them even for float64 variables
BETAS = {"beta_1": 0.875, "beta_2": 1 - 2.0**-10}


def start(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return {key: rng.normal(size=shape).astype(dtype) for key, shape in SHAPES.items()}


def gradients(dtype=np.float64):
    rng = np.random.default_rng(1)
    return [{key: rng.normal(size=s).astype(dtype) for key, s in SHAPES.items()} for _ in range(STEPS)]


def ours(optimizer, dtype=np.float64):
    params = start(dtype)
    for grads in gradients(dtype):
        optimizer.step((key, params[key], grads[key]) for key in params)
    assert optimizer.iterations == STEPS
    return params


def assert_equal(params, expected, rtol=1e-9):
    for key in SHAPES:
        np.testing.assert_allclose(params[key], expected[key], rtol=rtol, atol=rtol, err_msg=key)


def by_torch(make, clip=None):
    torch = pytest.importorskip("torch")
    params = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in start().items()}
    optimizer = make(torch.optim)(params.values())
    for grads in gradients():
        for key, param in params.items():
            param.grad = torch.tensor(grads[key])
        if clip:
            torch.nn.utils.clip_grad_norm_(params.values(), clip)
        optimizer.step()
    return {key: param.detach().numpy() for key, param in params.items()}


def by_keras(make):
    keras = pytest.importorskip("keras")
    params = {key: keras.Variable(value, dtype="float64") for key, value in start().items()}
    optimizer = make(keras.optimizers)
    for grads in gradients():
        pairs = [(keras.ops.convert_to_tensor(grads[key], dtype="float64"), params[key]) for key in params]
        optimizer.apply_gradients(pairs)
    return {key: keras.ops.convert_to_numpy(param) for key, param in params.items()}


SGD_CASES = [{}, {"momentum": 0.875}, {"momentum": 0.75, "nesterov": True}]


@pytest.mark.parametrize("kwargs", SGD_CASES)
def test_sgd_agrees_with_torch(kwargs):
    expected = by_torch(lambda optim: lambda params: optim.SGD(params, lr=RATE, **kwargs))
    assert_equal(ours(SGD(RATE, **kwargs)), expected)


@pytest.mark.parametrize("kwargs", [*SGD_CASES, {"momentum": 0.875, "weight_decay": 0.25, "global_clipnorm": 3.0}])
def test_sgd_agrees_with_keras(kwargs):
    expected = by_keras(lambda optimizers: optimizers.SGD(RATE, **kwargs))
    assert_equal(ours(SGD(RATE, **kwargs)), expected)


@pytest.mark.parametrize("weight_decay", [0.0, 0.25])
def test_adam_agrees_with_torch(weight_decay):
    """With an epsilon that vanishes, since the two libraries put it in different places."""
    expected = by_torch(lambda optim: lambda params: optim.AdamW(params, lr=RATE, eps=1e-15, weight_decay=weight_decay))
    assert_equal(ours(Adam(RATE, epsilon=1e-15, weight_decay=weight_decay)), expected)


def test_decay_of_kernels_alone_agrees_with_torch():
    def make(optim):
        def build(params):
            params = list(params)
            groups = [{"params": [p for p in params if (p.ndim > 1) == wide]} for wide in (True, False)]
            groups[1]["weight_decay"] = 0.0
            return optim.AdamW(groups, lr=RATE, eps=1e-15, weight_decay=0.25)

        return build

    assert_equal(ours(Adam(RATE, epsilon=1e-15, weight_decay=0.25, decay_vectors=False)), by_torch(make))


@pytest.mark.parametrize("make", [SGD, Adam])
def test_what_is_left_undecayed(make):
    kernel, bias = np.full((2, 1), 4.0), np.full(2, 4.0)
    parameters = [("kernel", kernel, np.zeros((2, 1))), ("bias", bias, np.zeros(2))]
    make(0.5, weight_decay=0.25, decay_vectors=False).step(parameters)
    assert kernel.ravel().tolist() == [3.5, 3.5] and bias.tolist() == [4.0, 4.0]
    make(0.5, weight_decay=0.25).step(parameters)
    assert bias.tolist() == [3.5, 3.5]


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.125}, {"weight_decay": 0.25}, {"global_clipnorm": 2.0}],
    ids=str,
)
def test_adam_agrees_with_keras(kwargs):
    """The large epsilon shows where it is added."""
    kwargs = BETAS | kwargs
    expected = by_keras(lambda optimizers: optimizers.Adam(RATE, **kwargs))
    assert_equal(ours(Adam(RATE, **kwargs)), expected)


def test_defaults_are_those_of_keras():
    optimizers = pytest.importorskip("keras").optimizers
    for mine, theirs in ((Adam(), optimizers.Adam()), (SGD(), optimizers.SGD())):
        config = theirs.get_config()
        config["decay_vectors"] = True  # Keras decays all but what exclude_from_weight_decay names
        for key, value in mine.config().items():
            assert value == pytest.approx(config[key] or 0.0, rel=1e-6) or value is config[key] is None, key


def test_schedule_agrees_with_keras():
    kwargs = dict(initial_learning_rate=RATE, decay_steps=2, decay_rate=0.25)
    expected = by_keras(lambda optimizers: optimizers.Adam(optimizers.schedules.ExponentialDecay(**kwargs), **BETAS))
    assert_equal(ours(Adam(ExponentialDecay(**kwargs), **BETAS)), expected, rtol=1e-8)


def test_clipping_agrees_with_torch():
    expected = by_torch(lambda optim: lambda params: optim.SGD(params, lr=RATE, momentum=0.9), clip=2.5)
    assert_equal(ours(SGD(RATE, momentum=0.9, global_clipnorm=2.5)), expected, rtol=1e-6)


def test_clipping_by_hand():
    a, b = np.zeros(1), np.zeros((1, 1))
    parameters = [("a", a, np.array([3.0])), ("b", b, np.array([[-4.0]]))]  # joint norm 5
    SGD(1.0, global_clipnorm=1.0).step(parameters)
    assert (a[0], b[0, 0]) == pytest.approx((-0.6, 0.8))
    a[...], b[...] = 0, 0
    SGD(1.0, global_clipnorm=5.5).step(parameters)
    assert (a[0], b[0, 0]) == (-3.0, 4.0)


@pytest.mark.parametrize("make", [lambda: SGD(RATE, momentum=0.9), lambda: Adam(RATE, weight_decay=0.1)])
def test_float32_stays_float32_and_close(make):
    single, double = ours(make(), np.float32), ours(make())
    assert all(value.dtype == np.float32 for value in single.values())
    assert_equal(single, double, rtol=2e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(RATE, momentum=0.9, nesterov=True),
        lambda: Adam(ExponentialDecay(RATE, 2, 0.5), global_clipnorm=1.0),
        lambda: Adam(RATE),
    ],
)
def test_resuming_is_bit_identical(make, tmp_path):
    expected = ours(make(), np.float32)

    params, optimizer = start(np.float32), make()
    for i, grads in enumerate(gradients(np.float32)):
        if i == 3:
            np.savez(tmp_path / "state.npz", **optimizer.state_dict())
            before = {key: p.copy() for key, p in params.items()}
            optimizer.step((key, p, np.ones_like(p)) for key, p in params.items())  # must not reach the copy
            for key, p in params.items():
                p[...] = before[key]
            optimizer = make()
            with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
                optimizer.load_state_dict(state)
        optimizer.step((key, params[key], grads[key]) for key in params)
    assert optimizer.iterations == STEPS
    for key, value in expected.items():
        assert params[key].tobytes() == value.tobytes()


def test_a_lowered_learning_rate_is_resumed():
    optimizer = SGD(0.5)
    optimizer.learning_rate = 0.125
    other = SGD(0.5)
    other.load_state_dict(optimizer.state_dict())
    assert other.learning_rate == 0.125


def test_the_schedule_sees_updates_done_so_far():
    seen = []
    optimizer = SGD(lambda step: seen.append(step) or 1.0)
    param = np.zeros(2)
    for _ in range(3):
        optimizer.step([("p", param, np.ones(2))])
    assert seen == [0, 1, 2]
    assert SGD(lambda step: 0.5 / (step + 1)).current_learning_rate == 0.5


def test_state_of_another_optimizer_is_refused():
    adam, sgd = Adam(), SGD()
    for optimizer in (adam, sgd):
        optimizer.step([("p", np.zeros(2), np.ones(2))])
    with pytest.raises(ValueError, match=r"SGD keeps \['momentum'\] .* 'p/velocity'"):
        sgd.load_state_dict(adam.state_dict())
    with pytest.raises(ValueError, match=r"of 'p' the state has only \['momentum'\]"):
        adam.load_state_dict(sgd.state_dict())
    with pytest.raises(ValueError, match="no 'iterations'"):
        adam.load_state_dict({})
    with pytest.raises(ValueError, match="this one has a schedule"):
        Adam(lambda step: 0.1).load_state_dict(adam.state_dict())


@pytest.mark.parametrize(
    "parameters, message",
    [
        ([("p", np.zeros(2), np.zeros(3))], r"gradient of 'p' is \(3,\) float64, the parameter \(2,\) float64"),
        ([("p", np.zeros(2), np.zeros(2, np.float32))], "float32, the parameter"),
        ([("p", np.zeros(2), np.zeros(2))] * 2, "'p' came twice"),
        ([("old", np.zeros(5), np.zeros(5))], r"'old' is now \(5,\) float64, but its momentum is \(4,\) float64"),
    ],
)
def test_parameters_that_do_not_fit(parameters, message):
    optimizer = Adam()
    optimizer.step([("old", np.zeros(4), np.zeros(4))])
    with pytest.raises(ValueError, match=message):
        optimizer.step(parameters)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SGD(-1), "learning_rate must be finite and not negative, got -1"),
        (lambda: Adam(float("nan")), "learning_rate must be finite"),
        (lambda: Adam(beta_1=1.0), r"beta_1 must be in \[0, 1\), got 1.0"),
        (lambda: Adam(weight_decay=-0.1), "weight_decay"),
        (lambda: SGD(global_clipnorm=0), "global_clipnorm must be positive"),
        (lambda: SGD(nesterov=True), "no effect without momentum"),
        (lambda: SGD("fast"), "SGD: learning_rate must be finite and not negative, got 'fast'"),
        (lambda: SGD(momentum="0.9x"), r"SGD: momentum must be in \[0, 1\), got '0.9x'"),
        (lambda: Adam(ExponentialDecay), "learning_rate must be an object, not the class ExponentialDecay"),
    ],
)
def test_clear_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_one_optimizer_is_not_passed_from_model_to_model():
    """Keys are layer names, which coincide: the second model would silently go on with the first one's moments."""
    first, second = np.ones(3, np.float32), np.ones(3, np.float32)
    optimizer = Adam()
    optimizer.step([("dense/bias", first, np.ones(3, np.float32))])
    with pytest.raises(ValueError, match="'dense/bias' is another model's"):
        optimizer.step([("dense/bias", second, np.ones(3, np.float32))])
    for resumed in (Adam(), pickle.loads(pickle.dumps(optimizer))):
        resumed.load_state_dict(optimizer.state_dict())
        resumed.step([("dense/bias", second, np.ones(3, np.float32))])
        assert resumed.iterations == 2


class RMSprop(Optimizer):
    """As a user would add it: a name for what is kept, the arguments, one equation."""

    slots = ("mean_square",)

    def __init__(self, learning_rate=1e-3, rho=0.875, epsilon=1e-7):
        super().__init__(learning_rate, weight_decay=0.0, global_clipnorm=None, decay_vectors=True)
        self.rho, self.epsilon = rho, epsilon

    def update(self, param, grad, kept, rate, decay, scale):
        (v,) = kept
        v += (1 - self.rho) * (grad * grad - v)
        param -= rate * grad / (np.sqrt(v) + self.epsilon)


def test_a_new_optimizer_is_one_equation():
    expected = by_torch(lambda optim: lambda params: optim.RMSprop(params, lr=RATE, alpha=0.875, eps=1e-7))
    optimizer = RMSprop(RATE)
    assert_equal(ours(optimizer), expected)
    again = RMSprop()
    again.load_state_dict(optimizer.state_dict())
    assert (again.iterations, again.learning_rate) == (STEPS, RATE)
    assert {key for key in again.state_dict() if "/" in key} == {f"{key}/mean_square" for key in SHAPES}
    assert optimizer.config()["rho"] == 0.875 and "rho=0.875" in repr(optimizer)


@pytest.mark.parametrize(
    "make", [lambda: SGD(0.5, 0.25, True, 0.1, 2.0, False), lambda: Adam(0.5, 0.5, 0.75, 0.25, 0.1)]
)
def test_config_makes_the_optimizer_again(make):
    optimizer = make()
    optimizer.step([("p", np.ones(2), np.ones(2))])
    again = type(optimizer)(**optimizer.config())
    assert again.config() == optimizer.config() and repr(again) == repr(optimizer)
    assert again.iterations == 0


def test_a_refused_step_changes_no_parameter():
    a, b = np.ones(2), np.ones(2)
    with pytest.raises(ValueError, match="gradient of 'b'"):
        SGD(0.5).step([("a", a, np.ones(2)), ("b", b, np.ones(3))])
    assert a.tolist() == [1, 1]


def test_optimizers_by_name():
    assert [type(get(name)) for name in ("adam", "sgd", None)] == [Adam, SGD, Adam]
    assert get("adam").config() == Adam().config()
    mine = SGD(0.5)
    assert get(mine) is mine


@pytest.mark.parametrize(
    "wrong, message",
    [
        (Adam, r"optimizer must be an object, not a class: write optimizer=Adam\(\)"),
        ("adagrad", r"class Optimizer, an object such as Adam\(\), or one of adam, adamw, rmsprop, sgd; got 'adagrad'"),
        (0.001, "got 0.001"),
    ],
)
def test_what_is_no_optimizer(wrong, message):
    with pytest.raises(ValueError, match=message):
        get(wrong)


CASES = [{}, {"rho": 0.75, "momentum": 0.5, "epsilon": 0.125, "weight_decay": 0.25}]


@pytest.mark.parametrize("kwargs", CASES, ids=str)
def test_rmsprop_agrees_with_keras(kwargs):
    kwargs = {"rho": 0.875} | kwargs
    expected = by_keras(lambda theirs: theirs.RMSprop(RATE, **kwargs))
    assert_equal(ours(optimizers.RMSprop(RATE, **kwargs)), expected)


def test_adamw_agrees_with_keras():
    kwargs = BETAS | {"weight_decay": 0.25}
    assert_equal(ours(AdamW(RATE, **kwargs)), by_keras(lambda theirs: theirs.AdamW(RATE, **kwargs)))


def test_new_ones_go_by_name_and_resume():
    assert isinstance(get("rmsprop"), optimizers.RMSprop) and get("adamw").weight_decay == 0.004
    p, q = np.ones(3), np.ones(3)
    first, again = optimizers.RMSprop(0.1, momentum=0.5), optimizers.RMSprop(0.1, momentum=0.5)
    first.step([("p", p, np.arange(3.0))])
    q[...] = p
    again.load_state_dict(first.state_dict())
    first.step([("p", p, np.ones(3))])
    again.step([("p", q, np.ones(3))])
    np.testing.assert_array_equal(p, q)


def test_an_equation_of_ones_own_replaces_that_of_a_base():
    class Signs(optimizers.Adam):
        def update(self, param, grad, kept, rate, decay, scale):
            param -= rate * np.sign(grad)

    param = np.array([1.0, 2.0])
    Signs(0.5).step([("p", param, np.array([3.0, -4.0]))])
    assert param.tolist() == [0.5, 2.5]
