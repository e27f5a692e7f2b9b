import numpy as np
from exercise_holds import holds

from tinycnn.exercises.check import check
from tinycnn.exercises.own_layer import EXERCISE, PReLU
from tinycnn.gradcheck import gradcheck
from tinycnn.model import Sequential


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_it_passes_gradcheck_and_serves_in_a_model():
    assert gradcheck(PReLU(), np.random.default_rng(0).normal(size=(3, 2, 4, 2))).ok
    model = Sequential([PReLU()])
    model.build((2, 2, 3))
    assert model.layers[0].params["alpha"].tolist() == [0.25] * 3


def test_what_gradcheck_alone_sees_is_said():
    class Adding(PReLU):
        def backward(self, grad_y, input_grad=True):
            before = self.grads["alpha"]
            grad_x = super().backward(grad_y)
            self.grads["alpha"] = self.grads["alpha"] + before
            return grad_x

    report = check(EXERCISE, Adding)
    assert [case for case, found in report.faults.items() if found] == ["gradcheck"]
    assert "alpha: the gradient is nan" in report.faults["gradcheck"]["error"]


def test_forward_is_checked_before_backward_is_written():
    class Half(PReLU):
        def forward(self, x, training=False):
            return 2 * super().forward(x)

        def backward(self, grad_y, input_grad=True):
            raise NotImplementedError

    found = check(EXERCISE, Half).faults["one image"]
    assert list(found) == ["y", "grad_x", "grad_alpha"] and found["grad_x"].endswith("not written yet")


def test_what_create_leaves_behind_is_said_in_a_sentence():
    class Nothing(PReLU):
        def create(self, input_shape):
            self.alpha = np.full(input_shape[-1], 0.25, self.dtype)

    class Pixels(PReLU):
        def create(self, input_shape):
            self.params["alpha"] = np.full(input_shape, 0.25, self.dtype)

    for answer, there in (Nothing, "nothing"), (Pixels, "shape (2, 3, 2)"):
        sentence = check(EXERCISE, answer).faults["one image"]["error"]
        assert sentence.endswith(f'create leaves {there} in self.params["alpha"], expected shape (2,)')


def test_a_layer_takes_no_step_of_its_own():
    class Stepping(PReLU):
        def backward(self, grad_y, input_grad=True):
            grad_x = super().backward(grad_y)
            self.params["alpha"] -= 0.01 * self.grads["alpha"]
            return grad_x

    assert "alpha is changed on the way" in check(EXERCISE, Stepping).faults["one image"]["error"]
