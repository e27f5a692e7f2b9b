import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers.activation import get
from tinycnn.layers.registry import describe, restore
from tinycnn.layers.smooth import ELU, GELU, SiLU, Softplus

LAYERS = [ELU, lambda: ELU(0.5), Softplus, SiLU, GELU, lambda: GELU(approximate=True)]


def random(shape, seed=0):
    return 2 * np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("make", LAYERS)
def test_gradients(make):
    assert gradcheck(make(), random((2, 3, 4, 5))).ok


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_neither_overflow_nor_warn_and_the_dtype_stays(make, dtype):
    x = np.array([[-1e30, -800, -20, 0, 20, 800, 1e30]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        layer = make()
        y, grad = layer.forward(x), layer.backward(np.ones_like(x))
    assert y.dtype == grad.dtype == dtype
    assert y[0, -2:] == pytest.approx(x[0, -2:]) and grad[0, -2:].tolist() == [1, 1] and grad[0, 0] == 0
    assert y[0, 0] == (-layer.alpha if isinstance(layer, ELU) else 0)
    assert np.isnan(make().forward(np.full((1, 2), np.nan))).all()


@pytest.mark.parametrize(
    ("layer", "theirs"),
    [
        (ELU(0.5), lambda nn: nn.ELU(0.5)),
        (Softplus(), lambda nn: nn.Softplus()),
        (SiLU(), lambda nn: nn.SiLU()),
        (GELU(), lambda nn: nn.GELU()),
        (GELU(approximate=True), lambda nn: nn.GELU(approximate="tanh")),
    ],
)
def test_torch_agrees_both_ways(layer, theirs):
    torch = pytest.importorskip("torch")
    x, grad_y = random((3, 2, 5)), random((3, 2, 5), 1)
    x_torch = torch.tensor(x, requires_grad=True)
    y = theirs(torch.nn)(x_torch)
    y.backward(torch.tensor(grad_y))
    assert layer.forward(x) == pytest.approx(y.detach().numpy(), rel=1e-10, abs=1e-14)
    assert layer.backward(grad_y) == pytest.approx(x_torch.grad.numpy(), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("name", ["elu", "gelu", "silu", "swish", "softplus"])
def test_names_mean_what_they_mean_in_keras(name):
    keras = pytest.importorskip("keras")
    x = random((5, 7), 3).astype(np.float32)
    assert get(name).forward(x) == pytest.approx(np.array(keras.activations.get(name)(x)), rel=1e-5, abs=1e-6)


def test_arguments():
    for layer in (ELU(0.25), GELU(approximate=True)):
        assert restore(describe(layer)).config() == layer.config()
    with pytest.raises(ValueError, match="alpha must be finite and not negative, got -1"):
        ELU(-1)
