import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers.layer_norm import LayerNorm


def built(shape, dtype=np.float64):
    layer, rng = LayerNorm(1e-5), np.random.default_rng(1)
    layer.build(shape, dtype=dtype)
    for param in layer.params.values():
        param[...] = rng.normal(size=param.shape)
    return layer


@pytest.mark.parametrize("shape", [(5,), (3, 4, 6)])
def test_gradients(shape):
    assert gradcheck(built(shape), np.random.default_rng(0).normal(size=(3, *shape))).ok


def test_torch_agrees_both_ways():
    torch = pytest.importorskip("torch")
    rng, layer = np.random.default_rng(0), built((3, 4, 6))
    x, grad_y = rng.normal(size=(2, 3, 4, 6)), rng.normal(size=(2, 3, 4, 6))
    x_torch, gamma, beta = (torch.tensor(a, requires_grad=True) for a in (x, *layer.params.values()))
    y = torch.nn.functional.layer_norm(x_torch, (6,), gamma, beta, 1e-5)
    y.backward(torch.tensor(grad_y))
    np.testing.assert_allclose(layer.forward(x), y.detach(), rtol=1e-10)
    np.testing.assert_allclose(layer.backward(grad_y), x_torch.grad, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(layer.grads["gamma"], gamma.grad, rtol=1e-10)
    np.testing.assert_allclose(layer.grads["beta"], beta.grad, rtol=1e-10)


def test_epsilon_is_checked_and_kept():
    assert LayerNorm(0.5).config() == {"epsilon": 0.5}
    with pytest.raises(ValueError, match="epsilon must be positive, got 0"):
        LayerNorm(0)
