import numpy as np
from exercise_holds import holds, suspected

from tinycnn.exercises.check import check
from tinycnn.exercises.cross_entropy import EXERCISE


def one_hot(logits, labels, class_weight, columns=False):
    z = logits - logits.max(axis=1)[:, None]
    p, q = np.exp(z) / np.exp(z).sum(axis=1)[:, None], np.eye(logits.shape[1])[labels]
    weight = class_weight if columns else (q @ class_weight)[:, None]
    loss = -(q * class_weight * (z - np.log(np.exp(z).sum(axis=1))[:, None])).sum() / len(p)
    return loss, weight * (p - q) / len(p)


def test_stub_solution_and_known_mistakes():
    holds(EXERCISE)


def test_written_in_another_way():
    assert check(EXERCISE, one_hot).ok
    suspected(EXERCISE, lambda **arguments: one_hot(**arguments, columns=True), "weights belong to rows")


def test_a_logarithm_of_zero_is_found_by_large_logits():
    def careless(logits, labels, class_weight):
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        loss = -np.mean(class_weight[labels] * np.log(p[np.arange(len(p)), labels]))
        return loss, one_hot(logits, labels, class_weight)[1]

    report = check(EXERCISE, careless)
    faults, (text,) = report.faults, report.suspicions
    assert text.startswith("the logarithm of a p of 0: take log p as")
    assert [case for case, found in faults.items() if found] == ["large logits"]
    assert "loss is inf" in faults["large logits"]["loss"]
