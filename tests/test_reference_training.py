import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.losses import CrossEntropy
from tinycnn.reference_training import (
    adam_update,
    batchnorm_backward,
    batchnorm_forward,
    dropout,
    numerical_gradient,
    sgd_update,
    softmax_cross_entropy,
)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_numerical_gradient_by_hand():
    x = np.array([[0.5, -1.0], [2.0, 0.0]])
    kept = x.copy()
    exact = np.array([[np.cos(0.5) * -1, np.sin(0.5)], [12.0, 0.0]])
    assert np.allclose(numerical_gradient(lambda x: np.sin(x[0, 0]) * x[0, 1] + x[1, 0] ** 3, x), exact, atol=1e-9)
    assert np.array_equal(x, kept)
    assert numerical_gradient(lambda x: float(x.sum()), np.arange(3)).dtype == np.float64


def test_gradcheck_sees_the_same_differences():
    logits, labels = normal(3, 4), [0, 3, 1]
    loss = CrossEntropy(label_smoothing=0.1)
    row = gradcheck(loss, logits, labels).table[0]
    numeric = numerical_gradient(lambda z: loss.forward(z, labels), logits)
    assert row.numeric == pytest.approx(numeric[row.worst_index], rel=1e-8)


@pytest.mark.parametrize("class_weight", [None, [0.5, 2.0, 1.25, 3.0]])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_cross_entropy(class_weight, label_smoothing):
    logits, labels = normal(5, 4) * 3, np.array([3, 0, 1, 1, 2])
    loss, grad = softmax_cross_entropy(logits, labels, class_weight, label_smoothing)
    fast = CrossEntropy(class_weight, label_smoothing)
    assert fast.forward(logits, labels) == pytest.approx(loss, rel=1e-13)
    assert np.allclose(fast.backward(), grad, atol=1e-15)
    differences = numerical_gradient(
        lambda z: softmax_cross_entropy(z, labels, class_weight, label_smoothing)[0], logits
    )
    assert np.allclose(grad, differences, atol=1e-9)


def test_batchnorm_gradients_against_differences():
    x, gamma, beta, grad_y = normal(2, 2, 3, 2), normal(2, seed=1), normal(2, seed=2), normal(2, 2, 3, 2, seed=3)

    def f(x, gamma, beta):
        return float(np.sum(grad_y * batchnorm_forward(x, gamma, beta, 1e-3)[0]))

    found = batchnorm_backward(x, gamma, grad_y, 1e-3)
    assert np.allclose(found[0], numerical_gradient(lambda x: f(x, gamma, beta), x), atol=1e-7)
    assert np.allclose(found[1], numerical_gradient(lambda gamma: f(x, gamma, beta), gamma), atol=1e-8)
    assert np.allclose(found[2], numerical_gradient(lambda beta: f(x, gamma, beta), beta), atol=1e-8)


def test_dropout_keeps_its_share_and_its_mean():
    y = dropout(np.ones(100_000), key=2**63 + 5, rate=0.3)
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert y.mean() == pytest.approx(1, abs=0.02)
    assert np.array_equal(dropout(np.ones((2, 3)), 1, 0.0), np.ones((2, 3)))


def test_batchnorm_against_torch():
    torch = pytest.importorskip("torch")
    x, gamma, beta, grad_y = normal(3, 4, 5, 2), normal(2, seed=1), normal(2, seed=2), normal(3, 4, 5, 2, seed=3)
    x_, gamma_, beta_ = (
        torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True),
        torch.tensor(gamma, requires_grad=True),
        torch.tensor(beta, requires_grad=True),
    )
    y_ = torch.nn.functional.batch_norm(x_, None, None, gamma_, beta_, training=True, eps=1e-3)
    y_.backward(torch.tensor(grad_y.transpose(0, 3, 1, 2)))
    y, mean, variance = batchnorm_forward(x, gamma, beta, 1e-3)
    assert np.allclose(y, y_.detach().numpy().transpose(0, 2, 3, 1), atol=1e-12)
    assert np.allclose(mean, x.reshape(-1, 2).mean(axis=0)) and np.allclose(variance, x.reshape(-1, 2).var(axis=0))
    for ours, theirs in zip(
        batchnorm_backward(x, gamma, grad_y, 1e-3),
        (x_.grad.numpy().transpose(0, 2, 3, 1), gamma_.grad, beta_.grad),
        strict=True,
    ):
        assert np.allclose(ours, theirs, atol=1e-12)


def test_adam_against_torch():
    torch = pytest.importorskip("torch")
    param, m, v = normal(7), np.zeros(7), np.zeros(7)
    param_ = torch.tensor(param.copy(), requires_grad=True)
    optimizer = torch.optim.Adam([param_], lr=0.1, betas=(0.8, 0.95), eps=1e-12)
    for t in range(1, 5):
        grad = normal(7, seed=t)
        param_.grad = torch.tensor(grad)
        optimizer.step()
        lr_t = 0.1 * np.sqrt(1 - 0.95**t) / (1 - 0.8**t)
        param, m, v = adam_update(param, grad, m, v, lr_t, 0.8, 0.95, 1e-12)
        assert np.allclose(param, param_.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_against_torch(nesterov):
    torch = pytest.importorskip("torch")
    param, velocity = normal(7), np.zeros(7)
    param_ = torch.tensor(param.copy(), requires_grad=True)
    optimizer = torch.optim.SGD([param_], lr=0.1, momentum=0.75, nesterov=nesterov)
    for t in range(4):
        grad = normal(7, seed=t)
        param_.grad = torch.tensor(grad)
        optimizer.step()
        param, velocity = sgd_update(param, 2 * grad, velocity, 0.1, 0.75, nesterov, grad_scale=0.5)
        assert np.allclose(param, param_.detach().numpy(), rtol=1e-12)
    kept, _ = sgd_update(param, 0 * param, 0 * param, 0.1, decay=0.25)
    assert np.allclose(kept, 0.75 * param)
