"""The checker must accept right gradients and catch each kind of wrong one."""

import numpy as np
import pytest
from toys_gradcheck import Chain, Correlate, Linear, Network, Rectifier, broken

from tinycnn.gradcheck import GradientError, gradcheck
from tinycnn.layers.base import Layer
from tinycnn.reference_training import numerical_gradient

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(4, 5))


def failure(target, x, **kwargs):
    with pytest.raises(GradientError) as caught:
        gradcheck(target, x, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("mode", ["exact", "random"])
def test_right_gradients_pass(x, mode):
    result = gradcheck(Chain(Linear(7), Rectifier(), Linear(2)), x, mode=mode)
    assert result.ok and not result.problems
    names = [row.name for row in result.table]
    assert names == ["input", "linear/kernel", "linear/bias", "linear_1/kernel", "linear_1/bias"]
    assert [row.shape for row in result.table] == [(4, 5), (5, 7), (7,), (7, 2), (2,)]
    assert all(row.checked == (np.prod(row.shape) if mode == "exact" else 5) for row in result.table)
    assert result.worst.max_rel_error < 1e-6
    for word in ("linear/kernel", "(5, 7)", "gradients agree"):
        assert word in str(result)


@pytest.mark.parametrize("mode", ["exact", "random"])
def test_catches_a_factor_of_two(x, mode):
    class Doubled(Linear):
        def backward(self, grad_y):
            return 2 * super().backward(grad_y)

    text = failure(Doubled(), x, mode=mode)
    assert text.count("WRONG") == 1 and "input: wrong at" in text


@pytest.mark.parametrize("mode", ["exact", "random"])
def test_catches_a_permuted_gradient(x, mode):
    class Permuted(Linear):
        def backward(self, grad_y):
            grad_x = super().backward(grad_y)
            self.grads["bias"] = self.grads["bias"][::-1].copy()
            return grad_x

    text = failure(Permuted(), x, mode=mode)
    assert text.count("WRONG") == 1 and "bias: wrong at" in text


def test_names_the_worst_element(x):
    class OneElementOff(Linear):
        def backward(self, grad_y):
            grad_x = super().backward(grad_y)
            self.grads["kernel"][3, 1] += 1e-3
            self.grads["kernel"][0, 2] += 1e-5
            return grad_x

    result = gradcheck(OneElementOff(), x, raise_on_error=False)
    assert not result.ok
    assert result.worst.name == "kernel" and result.worst.worst_index == (3, 1)
    assert result.worst.max_abs_error == pytest.approx(1e-3, rel=1e-4)
    assert "2 of 15 wrong" in result.problems[0]


def test_random_mode_catches_one_wrong_element_among_many():
    class OneElementOff(Linear):
        def backward(self, grad_y):
            grad_x = super().backward(grad_y)
            self.grads["kernel"][70, 11] += 0.05
            return grad_x

    x = np.random.default_rng(2).normal(size=(3, 120))
    assert gradcheck(Linear(40), x, mode="random").ok
    assert "kernel: wrong at a random direction" in failure(OneElementOff(40), x, mode="random")


def test_catches_weights_on_columns_instead_of_rows():
    """Weights belong to a sample's true class (rows); multiplying the gradient's columns by them is wrong."""
    from tinycnn.losses import CrossEntropy

    weights = np.array([1.0, 3.0, 0.5])

    class Columns(CrossEntropy):
        def forward(self, logits, labels):
            self.plain = CrossEntropy()
            self.plain.forward(logits, labels)
            return super().forward(logits, labels)

        def backward(self):
            return self.plain.backward() * weights

    logits = np.random.default_rng(0).normal(size=(5, 3))
    labels = [0, 1, 2, 1, 0]
    assert gradcheck(CrossEntropy(class_weight=weights), logits, labels).ok
    assert "input: wrong at index" in failure(Columns(class_weight=weights), logits, labels=labels)


def test_catches_a_bias_gradient_left_out(x):
    class Unwritten(Linear):
        def backward(self, grad_y):
            grad_y = self._enter_backward(grad_y)
            self.grads["kernel"] = self.x.T @ grad_y
            return grad_y @ self.params["kernel"].T

    class KeyMissing(Linear):
        def backward(self, grad_y):
            grad_x = super().backward(grad_y)
            self.grads = {"kernel": self.grads["kernel"]}
            return grad_x

    class Zero(Linear):
        def backward(self, grad_y):
            grad_x = super().backward(grad_y)
            self.grads["bias"][...] = 0
            return grad_x

    assert "bias: the gradient is nan" in failure(Unwritten(), x)
    assert "params ['bias', 'kernel'], grads ['kernel']" in failure(KeyMissing(), x)
    assert "bias: wrong at index" in failure(Zero(), x)


def test_catches_accumulation(x):
    class InPlace(Linear):
        def backward(self, grad_y):
            grad_y = self._enter_backward(grad_y)
            self.grads["kernel"] += self.x.T @ grad_y
            self.grads["bias"][...] = grad_y.sum(axis=0)
            return grad_y @ self.params["kernel"].T

    class HiddenBuffer(Linear):
        total = 0.0

        def backward(self, grad_y):
            grad_x = super().backward(grad_y)
            self.total = self.total + self.grads["bias"]
            self.grads["bias"] = self.total.copy()
            return grad_x

    assert "kernel: the gradient is nan" in failure(InPlace(), x)
    assert "bias: a second backward gives another gradient" in failure(HiddenBuffer(), x)


def test_catches_shapes_and_dtypes(x):
    class Flat(Linear):
        def backward(self, grad_y):
            grad_x = super().backward(grad_y)
            self.grads["kernel"] = self.grads["kernel"].reshape(-1)
            return grad_x

    class Single(Linear):
        def forward(self, x, training=False):
            return super().forward(x).astype(np.float32)

    class NoInputGradient(Linear):
        def backward(self, grad_y):
            super().backward(grad_y)

    class InPlace(Linear):
        def forward(self, x, training=False):
            x *= 2
            return super().forward(x)

    assert "kernel: gradient of shape (15,) for a tensor of shape (5, 3)" in failure(Flat(), x)
    assert "returned float32" in failure(Single(), x)
    assert "input: backward gave None" in failure(NoInputGradient(), x)
    assert "changed its input" in failure(InPlace(), x)


def test_constant_parameters_do_not_hide_errors(x):
    """With gamma all ones, a backward that forgets gamma looks right; the checker disturbs it."""

    class Stretch(Layer):
        def create(self, input_shape):
            self.params["gamma"] = np.ones(input_shape, self.dtype)

        def forward(self, x, training=False):
            self.x = self._enter(x)
            return self.x * self.params["gamma"]

        def backward(self, grad_y):
            grad_y = self._enter_backward(grad_y)
            self.grads["gamma"] = (grad_y * self.x).sum(axis=0)
            return grad_y

    layer = Stretch()
    assert "input: wrong" in failure(layer, x)
    assert np.array_equal(layer.params["gamma"], np.ones(5))


def test_kinks_are_stepped_over_or_skipped(x):
    near = np.random.default_rng(3).normal(size=(6, 5))
    near[1, 2], near[4, 0] = 4e-6, -3e-6  # within the first step of a kink, outside the smaller one
    result = gradcheck(Rectifier(), near)
    assert result.table[0].skipped == 0

    near[0, 0] = 0.0
    result = gradcheck(Rectifier(), near)
    assert result.table[0].skipped == 1 and result.table[0].checked == 29

    assert "lie on a kink" in failure(Rectifier(), np.zeros((2, 3)))
    assert "lie on a kink" in failure(Rectifier(), np.zeros((2, 3)), mode="random")


def test_a_small_error_on_a_curved_function_is_not_taken_for_a_kink(x):
    class Cube(Layer):
        error = 0.0

        def forward(self, x, training=False):
            self.x = self._enter(x)
            return self.x**3

        def backward(self, grad_y):
            return self._enter_backward(grad_y) * 3 * self.x**2 * (1 + self.error)

    assert gradcheck(Cube(), x).ok
    wrong = Cube()
    wrong.error = 2e-5
    result = gradcheck(wrong, x, raise_on_error=False)
    assert not result.ok and result.table[0].skipped == 0


class Masked(Layer):
    """Dropout in small: a random mask."""

    def forward(self, x, training=False):
        x = self._enter(x)
        if training:
            self.mask = (self.rng.random(x.shape) < 0.5) * 2.0
        return x * self.mask if training else x

    def backward(self, grad_y):
        return self._enter_backward(grad_y) * self.mask


def test_every_pass_draws_the_same_mask_unless_it_is_not_from_the_layers_generator(x):
    assert gradcheck(Chain(Linear(6), Masked(), Masked()), x).ok

    class OfItsOwn(Masked):
        def forward(self, x, training=False):
            x = self._enter(x)
            self.mask = (np.random.default_rng().random(x.shape) < 0.5) * 2.0
            return x * self.mask

    assert "two forward passes on the same input differ" in failure(OfItsOwn(), x)


def test_puts_everything_back(x):
    class Running(Linear):
        def create(self, input_shape):
            super().create(input_shape)
            self.state["moving_mean"] = np.zeros(input_shape, self.dtype)

        def forward(self, x, training=False):
            self.state["moving_mean"] *= 0.9
            self.state["moving_mean"] += 0.1 * x.mean(axis=0)
            return super().forward(x)

    layer = Chain(Running(3), Masked())
    layer.build((5,), np.random.default_rng(4), np.float64)
    layer.rng.normal()
    inner = layer.parts[0]
    before = {**inner.params, **inner.state}
    copies = {key: value.copy() for key, value in before.items()}
    draw = layer.rng.bit_generator.state
    for mode in ("exact", "random"):
        kept_x = x.copy()
        gradcheck(layer, x, mode=mode)
        assert np.array_equal(x, kept_x)
        assert {**inner.params, **inner.state}.keys() == before.keys()
        assert all(np.array_equal(before[key], copies[key]) for key in copies)
        assert layer.rng.bit_generator.state == draw


def test_models_and_frozen_layers(x):
    model = Network(Linear(4, name="first"), Rectifier(), Chain(Linear(3), Rectifier()))
    model.layers[2].name = "block"
    model.parameters = lambda: [
        *((k, model.layers[0].params[k], None) for k in ("kernel", "bias")),
        *((k, model.layers[2].parts[0].params[k], None) for k in ("kernel", "bias")),
    ]
    names = [row.name for row in gradcheck(model, x).table]
    assert names == ["input", "first/kernel", "first/bias", "block/linear/kernel", "block/linear/bias"]
    model.layers[0].trainable = False
    assert [row.name for row in gradcheck(model, x).table] == ["input", *names[3:]]
    model.layers[2].trainable = False
    assert [row.name for row in gradcheck(model, x).table] == ["input"]


def test_a_parameter_that_the_model_hides_from_the_optimizer_is_caught(x):
    class Forgetful(Network):
        def parameters(self):
            return list(super().parameters())[:-1]

    text = failure(Forgetful(Linear(4, name="a"), Linear(2, name="b")), x)
    assert "b/bias: parameters() leaves it out" in text


def test_a_gradient_of_zero_does_not_look_wrong(x):
    """Shifts cancel in a row minus its mean: the bias has no gradient, only rounding noise."""

    class Centred(Linear):
        def forward(self, x, training=False):
            y = super().forward(x)
            return y - y.mean(axis=0)

        def backward(self, grad_y):
            return super().backward(grad_y - grad_y.mean(axis=0))

    for mode in ("exact", "random"):
        result = gradcheck(Centred(), x, mode=mode)
        bias = result.table[2]
        assert bias.largest_gradient < 1e-14 and bias.max_rel_error < 1e-6


def test_same_seed_same_result_and_repeatable_table(x):
    tables = [str(gradcheck(Linear(), x, mode="random", seed=seed)) for seed in (5, 5, 6)]
    assert tables[0] == tables[1] != tables[2]


def test_clear_errors(x, capsys):
    built = Linear()
    built.build((5,))
    with pytest.raises(ValueError, match="built in float32; finite differences need float64"):
        gradcheck(built, x)
    with pytest.raises(ValueError, match="takes no labels"):
        gradcheck(Linear(), x, labels=[0, 1, 2, 0])
    with pytest.raises(ValueError, match="needs labels"):
        gradcheck(object(), x)
    with pytest.raises(ValueError, match="mode must be"):
        gradcheck(Linear(), x, mode="fast")
    gradcheck(Linear(), x, verbose=True)
    assert "largest grad" in capsys.readouterr().out


def test_equals_the_ten_lines_that_it_starts_from():
    layer, images = Correlate(), np.random.default_rng(0).normal(size=(1, 3, 3, 2))
    wrong = broken(Correlate, "input", lambda layer, grad, grad_y: 2 * grad)
    for one in (layer, wrong):
        one.build(images.shape[1:], dtype=np.float64)
    row = gradcheck(wrong, images, raise_on_error=False).table[0]
    draws = np.random.default_rng(0)  # as gradcheck draws: a bias that is constant is disturbed first
    layer.params["bias"][...] = 0.2 * draws.normal(size=3)
    u = draws.normal(size=(1, 2, 2, 3))
    numeric = numerical_gradient(lambda x: float(np.sum(u * layer.forward(x))), images)
    assert row.numeric == pytest.approx(numeric[row.worst_index], rel=1e-7)
