"""What a loss asks of a model and of labels, and what is counted beside it."""

import numpy as np
import pytest
from toys import Affine

from tinycnn.layers import Dense, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from tinycnn.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError
from tinycnn.model import Sequential
from tinycnn.training.objective import Objective, Totals, weighted

X, LABELS = np.float32([[1, 2], [3, 4], [5, 6]]), np.array([0, 1, 1])


def built(*layers):
    model = Sequential(layers)
    model.build((2,))
    return model


def test_right_answers_are_counted_where_there_are_some():
    outputs = np.float32([[2, 1], [0, 1], [1, 0]])
    loss, right = Objective(CrossEntropy()).forward(outputs, LABELS)
    assert right == 2 and loss == pytest.approx(CrossEntropy().forward(outputs, LABELS))
    loss, right = Objective(BinaryCrossEntropy()).forward(outputs[:, :1] - 1, LABELS)
    assert right == 0
    targets = np.full((3, 2), 255, np.uint8)
    assert Objective(MeanSquaredError()).forward(np.ones((3, 2)), targets) == (0, None)


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        *((last, loss) for last in (ReLU, LeakyReLU, Tanh) for loss in (CrossEntropy(), BinaryCrossEntropy())),
        (Sigmoid, CrossEntropy()),
        (Softmax, BinaryCrossEntropy()),
    ],
)
def test_an_activation_that_bends_the_logits_is_refused(last, loss):
    for layers in ([Dense(2), last()], [Dense(2, activation=last())]):
        with pytest.raises(ValueError, match=f"{type(loss).__name__} works on logits.*ends in {last.__name__}; leave"):
            Objective(loss).check(LABELS[:, None] * [1, 0], built(*layers), "train")


def test_a_softmax_suits_one_cross_entropy_and_a_sigmoid_the_other():
    Objective(CrossEntropy()).check(LABELS, built(Dense(2), Softmax()), "train")
    Objective(BinaryCrossEntropy()).check(LABELS, built(Dense(1), Sigmoid()), "train")
    with pytest.raises(ValueError, match="put a sigmoid in its place"):
        Objective(BinaryCrossEntropy()).check(LABELS, built(Dense(2), Softmax()), "train")


def test_weights_of_samples_reach_the_loss_but_not_the_count():
    class Unweighted(Loss):
        def forward(self, logits, labels):
            return 7.0

    outputs, weights = np.float32([[2, 1], [0, 1], [1, 0]]), np.array([0.0, 2.0, 1.0])
    loss, right = Objective(CrossEntropy()).forward(outputs, LABELS, weights)
    assert loss == pytest.approx(np.log1p(np.exp([-1, -1, 1])) @ weights / 3) and right == 2
    assert Objective(Unweighted()).forward(outputs, LABELS) == (7.0, None)


def test_one_output_has_nothing_to_choose_from():
    with pytest.raises(ValueError, match=r"of one class is always 0.*Dense\(2\).*BinaryCrossEntropy\(\)"):
        Objective(CrossEntropy()).check(LABELS * 0, built(Affine(1)), "train")
    Objective(BinaryCrossEntropy()).check(LABELS, built(Affine(1)), "train")


def test_weights_are_taken_from_labels_or_refused():
    model = built(Affine(2))
    assert weighted(CrossEntropy(), None, LABELS, model).class_weight is None
    balanced = weighted(CrossEntropy(label_smoothing=0.1), "balanced", LABELS, model)
    np.testing.assert_allclose(balanced.weights(2), [1.5, 0.75])
    assert balanced.label_smoothing == 0.1
    for loss, weights, message in (
        (MeanSquaredError(), [1, 2], "needs a CrossEntropy"),
        (CrossEntropy([1, 2]), [1, 2], "weights of its own"),
        (CrossEntropy(), "auto", "'balanced', got 'auto'"),
        (CrossEntropy(), [1, 2, 3], "3 class weights"),
    ):
        with pytest.raises(ValueError, match=message):
            weighted(loss, weights, LABELS, model)


def test_totals_of_losses_without_accuracy_have_none():
    totals = Totals()
    totals.add(3, 2.0, None)
    totals.add(1, 6.0, None)
    assert totals.means() == {"loss": 3.0}
