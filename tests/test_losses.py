"""Losses by hand, against PyTorch and Keras, by finite differences, and at extreme logits."""

import math

import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError, get

N, CLASSES = 7, 4
WEIGHTS = [0.5, 2.0, 1.25, 3.0]


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(scale=2, size=(N, CLASSES))


@pytest.fixture
def labels():
    return np.array([3, 0, 1, 1, 2, 3, 1])


def test_cross_entropy_by_hand():
    """Softmax of (log 1, log 3) is (1/4, 3/4)."""
    loss = CrossEntropy(class_weight=[2.0, 6.0])
    logits = np.log([[1.0, 3.0], [1.0, 1.0]])
    assert loss.forward(logits, [0, 1]) == pytest.approx((2 * math.log(4) + 6 * math.log(2)) / 2)
    np.testing.assert_allclose(loss.backward(), [[-0.75, 0.75], [1.5, -1.5]])


def test_label_smoothing_by_hand():
    """Two classes and smoothing 0.5 make targets of (3/4, 1/4)."""
    loss = CrossEntropy(label_smoothing=0.5)
    value = loss.forward(np.log([[1.0, 3.0]]), [0])
    assert value == pytest.approx(0.75 * math.log(4) + 0.25 * math.log(4 / 3))
    np.testing.assert_allclose(loss.backward(), [[-0.5, 0.5]])


@pytest.mark.parametrize("class_weight", [None, WEIGHTS, {1: 2.5, 3: 0.25}])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_cross_entropy_gradient(logits, labels, class_weight, label_smoothing):
    loss = CrossEntropy(class_weight, label_smoothing)
    gradcheck(loss, logits, labels)
    gradcheck(loss, logits, labels, mode="random")


@pytest.mark.parametrize("shape", [(N, 1), (N,), (3, 2, 5)])
def test_binary_cross_entropy_gradient(shape):
    rng = np.random.default_rng(2)
    gradcheck(BinaryCrossEntropy(), rng.normal(scale=3, size=shape), rng.random(shape))


def test_mean_squared_error_gradient():
    rng = np.random.default_rng(3)
    gradcheck(MeanSquaredError(), rng.normal(size=(3, 4, 5, 2)), rng.normal(size=(3, 4, 5, 2)))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("class_weight", [None, WEIGHTS, {1: 2.5, 3: 0.25}])
def test_cross_entropy_agrees_with_keras(logits, labels, class_weight, label_smoothing):
    """A model that returns its variable, compiled and trained for one step as users do: with fit's class_weight."""
    keras = pytest.importorskip("keras")
    one_hot = np.eye(CLASSES)[labels]
    weight = class_weight if isinstance(class_weight, dict) else dict(enumerate(class_weight or [1.0] * CLASSES))
    model = keras.Sequential([keras.layers.Embedding(N, CLASSES), keras.layers.Flatten()])
    model.build((None, 1))
    model.set_weights([logits])
    model.compile(
        keras.optimizers.SGD(1.0),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing),
    )
    history = model.fit(
        np.arange(N)[:, None], one_hot, batch_size=N, shuffle=False, class_weight=weight, verbose=0, epochs=1
    )
    loss = CrossEntropy(class_weight, label_smoothing)
    assert loss.forward(logits, labels) == pytest.approx(history.history["loss"][0], rel=1e-5)
    np.testing.assert_allclose(loss.backward(), logits - model.get_weights()[0], rtol=1e-4, atol=1e-6)


def torch_loss(make, logits, labels):
    torch = pytest.importorskip("torch")
    z = torch.tensor(logits, requires_grad=True)
    loss = make(torch)(z, torch.tensor(labels))
    loss.backward()
    return loss.item(), z.grad.numpy()


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_cross_entropy_agrees_with_torch(logits, labels, label_smoothing):
    value, grad = torch_loss(lambda t: t.nn.CrossEntropyLoss(label_smoothing=label_smoothing), logits, labels)
    loss = CrossEntropy(label_smoothing=label_smoothing)
    assert loss.forward(logits, labels) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(loss.backward(), grad, rtol=1e-10, atol=1e-14)


def test_torch_normalises_class_weights_by_their_sum(logits, labels):
    """The documented difference: by the sum of the samples' weights, where Keras divides by their number."""

    def make(torch):
        return torch.nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS, dtype=torch.float64))

    value, grad = torch_loss(make, logits, labels)
    ratio = np.take(WEIGHTS, labels).sum() / N
    loss = CrossEntropy(WEIGHTS)
    assert loss.forward(logits, labels) == pytest.approx(value * ratio, rel=1e-12)
    np.testing.assert_allclose(loss.backward(), grad * ratio, rtol=1e-10, atol=1e-14)


def test_other_losses_agree_with_torch(logits):
    targets = np.random.default_rng(4).random((N, CLASSES))
    for loss, make in (
        (BinaryCrossEntropy(), lambda t: t.nn.BCEWithLogitsLoss()),
        (MeanSquaredError(), lambda t: t.nn.MSELoss()),
    ):
        value, grad = torch_loss(make, logits, targets)
        assert loss.forward(logits, targets) == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(loss.backward(), grad, rtol=1e-10, atol=1e-14)


def test_other_losses_agree_with_keras(logits):
    losses = pytest.importorskip("keras").losses
    targets = np.random.default_rng(4).random((N, CLASSES))
    for ours, theirs in (
        (BinaryCrossEntropy(), losses.BinaryCrossentropy(from_logits=True)),
        (MeanSquaredError(), losses.MeanSquaredError()),
    ):
        assert ours.forward(logits, targets) == pytest.approx(float(theirs(targets, logits)), rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits(dtype):
    logits = np.array([[1e4, 0, -1e4], [1e4, 0, -1e4], [-1e4, -1e4, -1e4]], dtype)
    loss = CrossEntropy()
    assert loss.forward(logits, [0, 2, 1]) == pytest.approx((0 + 2e4 + math.log(3)) / 3)
    expected = np.array([[0, 0, 0], [1, 0, -1], [1 / 3, -2 / 3, 1 / 3]]) / 3
    np.testing.assert_allclose(loss.backward(), expected, rtol=1e-6)
    gradcheck(CrossEntropy(WEIGHTS[:3], 0.1), logits, [0, 2, 1])

    binary = BinaryCrossEntropy()
    assert binary.forward(np.array([1e4, -1e4, -1e4], dtype), [1, 1, 0]) == pytest.approx(1e4 / 3)
    np.testing.assert_allclose(binary.backward(), [0, -1 / 3, 0], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_types(logits, labels, dtype):
    for loss, target in (
        (CrossEntropy(WEIGHTS, 0.1), labels.astype(np.uint8)),
        (BinaryCrossEntropy(), logits > 0),
        (MeanSquaredError(), (logits > 0).astype(np.uint8)),
    ):
        value = loss.forward(logits.astype(dtype), target)
        assert type(value) is float
        assert loss.backward().dtype == dtype and loss.backward().shape == logits.shape


def test_backward_may_be_changed_by_the_caller(logits, labels):
    loss = CrossEntropy()
    loss.forward(logits, labels)
    first = loss.backward()
    kept = first.copy()
    first *= 0
    assert np.array_equal(loss.backward(), kept)


def test_binary_labels_of_a_column(logits):
    flat, column = BinaryCrossEntropy(), BinaryCrossEntropy()
    t = np.arange(N) % 2
    assert flat.forward(logits[:, 0], t) == column.forward(logits[:, :1], t)
    assert np.array_equal(flat.backward(), column.backward()[:, 0])


@pytest.mark.parametrize("class_weight", [None, WEIGHTS, {0: 1, 2: 4.0}])
def test_config_makes_the_loss_again(logits, labels, class_weight):
    import json

    loss = CrossEntropy(class_weight, 0.1)
    again = CrossEntropy(**json.loads(json.dumps(loss.config())))
    assert again.forward(logits, labels) == loss.forward(logits, labels)


def test_a_non_finite_logit_gives_a_non_finite_loss(labels, logits):
    logits[2, 1] = np.nan
    assert math.isnan(CrossEntropy().forward(logits, labels))
    assert math.isnan(MeanSquaredError().forward(logits, np.zeros_like(logits)))


@pytest.mark.parametrize(
    "loss, shape, target, message",
    [
        (CrossEntropy(), (3, 2), [0, 1, 2], "label 2 at index 2 is not a class: logits have 2"),
        (CrossEntropy(), (3, 2), [0, -1, 1], "label -1 at index 1"),
        (CrossEntropy(), (3, 2), [0, 1], r"logits \(3, 2\) and labels \(2,\)"),
        (CrossEntropy(), (2, 2), [[0, 1], [1, 0]], "one-hot"),
        (CrossEntropy(), (4,), [0, 1, 0, 1], r"logits \(4,\)"),
        (CrossEntropy(), (2, 2), [0.0, 1.0], "labels must be integers, got float64"),
        (CrossEntropy(), (2, 2), ["cat", "dog"], "got <U3; number the classes from 0"),
        (CrossEntropy(), (0, 2), np.zeros(0, int), "empty"),
        (CrossEntropy([1, 2, 3]), (2, 2), [0, 1], "3 class weights for logits of 2 classes"),
        (CrossEntropy({5: 2}), (2, 2), [0, 1], "names class 5, logits have 2"),
        (BinaryCrossEntropy(), (3, 2), [0, 1, 1], r"labels of shape \(3,\) do not fit logits of shape \(3, 2\)"),
        (BinaryCrossEntropy(), (3,), [0, 1, 2], r"label 2.0 at index \(2,\)"),
        (BinaryCrossEntropy(), (3,), [0, np.nan, 1], r"label nan at index \(1,\) is not in \[0, 1\]"),
        (BinaryCrossEntropy(), (2,), ["yes", "no"], "BinaryCrossEntropy: labels must be numbers, got <U3"),
        (MeanSquaredError(), (2, 1), [["a"], ["b"]], "MeanSquaredError: labels must be numbers, got <U1"),
        (MeanSquaredError(), (2, 2), [[0, 1], [np.nan, 1]], r"target nan at index \(1, 0\) is not a finite number"),
        (MeanSquaredError(), (3, 2), [0, 1], r"targets of shape \(2,\) must have the outputs' shape \(3, 2\)"),
    ],
)
def test_clear_errors(loss, shape, target, message):
    with pytest.raises(ValueError, match=message):
        loss.forward(np.zeros(shape), target)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\)"),
        ({"class_weight": [1, -1]}, "not negative"),
        ({"class_weight": {0: float("nan")}}, "finite"),
        ({"class_weight": {"normal": 1.0}}, "class numbers from 0, got 'normal'"),
        ({"class_weight": [[1, 2]]}, r"shape \(1, 2\)"),
        ({"class_weight": "balanced"}, r"got 'balanced' of shape \(\); balanced_class_weights\(labels\) gives"),
        ({"class_weight": {1: "much"}}, r"class_weight\[1\] must be finite and not negative, got 'much'"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        CrossEntropy(**kwargs)


@pytest.mark.parametrize("loss", [CrossEntropy, BinaryCrossEntropy, MeanSquaredError])
def test_order_and_types(loss):
    with pytest.raises(RuntimeError, match=f"{loss.__name__}: backward was called before forward"):
        loss().backward()
    with pytest.raises(ValueError, match="float32 or float64, got int64"):
        loss().forward(np.zeros((2, 2), np.int64), [0, 1])


def test_losses_by_name():
    for name, kind in (
        ("categorical_crossentropy", CrossEntropy),
        ("sparse_categorical_crossentropy", CrossEntropy),
        ("binary_crossentropy", BinaryCrossEntropy),
        ("mean_squared_error", MeanSquaredError),
        ("mse", MeanSquaredError),
        (None, CrossEntropy),
    ):
        assert type(get(name)) is kind and get(name) is not get(name)
    mine = MeanSquaredError()
    assert get(mine) is mine


@pytest.mark.parametrize(
    "wrong, message",
    [
        (CrossEntropy, r"loss must be an object, not a class: write loss=CrossEntropy\(\)"),
        ("hinge", r"class Loss, an object such as CrossEntropy\(\), or one of .*mse; got 'hinge'"),
        (3, "got 3"),
    ],
)
def test_what_is_no_loss(wrong, message):
    with pytest.raises(ValueError, match=message):
        get(wrong)


@pytest.mark.parametrize("weights", [[0, 0], {0: 0, 1: 0.0}])
def test_weights_that_are_all_zero_are_refused(weights):
    with pytest.raises(ValueError, match="every class weight is 0, so nothing would be learned"):
        CrossEntropy(weights).forward(np.zeros((2, 2)), [0, 1])
    CrossEntropy({0: 0.0}).forward(np.zeros((2, 2)), [0, 1])


@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (CrossEntropy({1: 3.0}, label_smoothing=0.1), [1, 0, 2]),
        (BinaryCrossEntropy(), [[1, 0, 1], [0, 0, 1], [1, 1, 0]]),
        (MeanSquaredError(), [[1.0, 0, 2], [0, 0, 1], [3, 1, 0]]),
    ],
)
def test_a_sample_counts_as_often_as_its_weight_says(loss, labels):
    """Whole weights: as if the rows were there so many times; the mean stays over the rows given."""
    logits, labels = np.random.default_rng(0).normal(size=(3, 3)), np.array(labels)
    weighted, grad = loss.forward(logits, labels, [2, 0, 1]), loss.backward()
    repeated = loss.forward(logits[[0, 0, 2]], labels[[0, 0, 2]])
    assert weighted == pytest.approx(repeated, rel=1e-12)
    rows = loss.backward()
    np.testing.assert_allclose(grad, [rows[0] * 2, rows[0] * 0, rows[2]], rtol=1e-12)
    with pytest.raises(ValueError, match=r"sample_weight of shape \(2,\), but logits have 3 rows"):
        loss.forward(logits, labels, [1, 2])
