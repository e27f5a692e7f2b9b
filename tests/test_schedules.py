"""Schedules against Keras's, and at steps worked out by hand."""

import pytest

from tinycnn.schedules import CosineDecay, ExponentialDecay, PiecewiseConstantDecay

CASES = [
    ("ExponentialDecay", ExponentialDecay, dict(initial_learning_rate=0.3, decay_steps=7, decay_rate=0.6)),
    (
        "ExponentialDecay",
        ExponentialDecay,
        dict(initial_learning_rate=0.3, decay_steps=7, decay_rate=0.6, staircase=True),
    ),
    ("PiecewiseConstantDecay", PiecewiseConstantDecay, dict(boundaries=[3, 11], values=[1.0, 0.5, 0.125])),
    ("CosineDecay", CosineDecay, dict(initial_learning_rate=0.3, decay_steps=13)),
    ("CosineDecay", CosineDecay, dict(initial_learning_rate=0.3, decay_steps=13, alpha=0.1)),
    (
        "CosineDecay",
        CosineDecay,
        dict(initial_learning_rate=0.05, decay_steps=9, alpha=0.2, warmup_target=0.4, warmup_steps=5),
    ),
]


@pytest.mark.parametrize("name, schedule, arguments", CASES)
def test_agrees_with_keras(name, schedule, arguments):
    schedules = pytest.importorskip("keras").optimizers.schedules
    ours, theirs = schedule(**arguments), getattr(schedules, name)(**arguments)
    for step in range(20):
        assert ours(step) == pytest.approx(float(theirs(step)), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name, schedule, arguments", CASES)
def test_config_makes_the_schedule_again(name, schedule, arguments):
    ours = schedule(**arguments)
    again = schedule(**ours.config())
    assert again == ours and repr(again) == repr(ours)
    assert isinstance(ours(4), float)


def test_cosine_by_hand():
    schedule = CosineDecay(0.8, decay_steps=4)
    assert [schedule(s) for s in (0, 2, 4, 400)] == pytest.approx([0.8, 0.4, 0.0, 0.0])


def test_schedules_differ():
    assert CosineDecay(0.8, 4) != CosineDecay(0.8, 5)
    assert CosineDecay(0.8, 4) != ExponentialDecay(0.8, 4, 0.5)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: CosineDecay(0.1, 0), "decay_steps must be a positive whole number, got 0"),
        (lambda: CosineDecay(0.1, 5, warmup_steps=3), "a warm-up needs both"),
        (lambda: CosineDecay(0.1, 5, warmup_target=3), "a warm-up needs both"),
        (lambda: CosineDecay(-0.1, 5), "initial_learning_rate must be finite and not negative"),
        (lambda: ExponentialDecay(0.1, 2.5, 0.5), "got 2.5"),
        (lambda: PiecewiseConstantDecay([1, 2], [0.1, 0.2]), "2 boundaries need 3 values, got 2"),
        (lambda: PiecewiseConstantDecay([2, 2], [0.1, 0.2, 0.3]), "increase strictly"),
    ],
)
def test_clear_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
