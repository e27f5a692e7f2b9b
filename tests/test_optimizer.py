"""The base of optimizers, by the smallest one of one's own; the rest through `test_optimizers`."""

import numpy as np

from tinycnn.optimizer import Optimizer


class Plain(Optimizer):
    def update(self, param, grad, kept, rate, decay, scale):
        param -= rate * scale * grad + decay * param


def test_an_equation_is_all_that_an_optimizer_needs():
    optimizer = Plain(0.5, weight_decay=0.25, global_clipnorm=5.0, decay_vectors=False)
    kernel, bias = np.full((1, 1), 8.0), np.full(1, 8.0)
    optimizer.step([("kernel", kernel, np.full((1, 1), 6.0)), ("bias", bias, np.full(1, 8.0))])  # of norm 10
    assert kernel.item() == 8 - 0.5 * 3 - 0.125 * 8 and bias.item() == 8 - 0.5 * 4
    assert optimizer.config()["learning_rate"] == 0.5 and optimizer.state_dict()["iterations"] == 1
