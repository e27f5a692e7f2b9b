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
