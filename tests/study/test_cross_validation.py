"""The four lines of a result."""

import numpy as np
import pytest

from tinycnn.data import merge_groups
from tinycnn.data.dataset import Splits
from tinycnn.data.splits import patient_groups
from tinycnn.scores.intervals import wilson_interval
from tinycnn.scores.metrics import accuracy, confusion_matrix, f1_score
from tinycnn.study.cross_validation import (
    all_images,
    cross_validate,
    difference_interval,
    evaluation_lines,
    lines_text,
    summarise,
    undivided_groups,
)
from tinycnn.study.films.audit import audit
from tinycnn.study.films.known_sets import known_patients
from tinycnn.study.films.phantoms import chest_phantoms


def test_the_real_set_gives_66_57_and_52(real_folder):
    found = audit(real_folder)
    patients = patient_groups(found.paths, known_patients(found.paths))
    lines = evaluation_lines(found.groups, found.in_test, patients)
    assert list(lines) == ["66 as published", "57 without near-copies", "52 without shared patients"]
    labels = found.labels[found.in_test]
    counts = [np.bincount(labels[images]).tolist() for images in lines.values()]
    assert counts == [[26, 20, 20], [17, 20, 20], [13, 20, 19]]
    groups, same_patients = undivided_groups(found)
    np.testing.assert_array_equal(same_patients, patients)
    np.testing.assert_array_equal(groups, merge_groups(found.groups, patients))


def test_a_chain_of_copy_and_patient_leaks_too():
    # Test image 2 copies test image 3, which shows the patient of training image 0.
    lines = evaluation_lines([0, 1, 2, 2, 4], [0, 0, 1, 1, 1], [7, 1, 2, 7, 4])
    assert [images.tolist() for images in lines.values()] == [[0, 1, 2], [0, 1, 2], [2]]


def test_without_patients_the_third_line_says_so():
    lines = evaluation_lines([0, 1, 1], [False, True, True])
    assert {name: images.tolist() for name, images in lines.items()} == {
        "2 as published": [0, 1],
        "2 without near-copies": [0, 1],
        "1 without repeats": [0],
    }
    with pytest.raises(ValueError, match=r"3 images in copies, but in_test has shape \(2,\)"):
        evaluation_lines([0, 1, 1], [0, 1])


def test_cross_validation_never_sees_a_group_it_predicts(tmp_path):
    rng = np.random.default_rng(0)
    groups, labels = rng.integers(0, 12, 40), np.zeros(40, int)
    labels = (groups % 3).astype(int)
    predicted = []

    def predict(train, test):
        assert not set(groups[train]) & set(groups[test])
        predicted.extend(test)
        return np.eye(3)[labels[test]]

    probabilities = cross_validate(predict, labels, groups, k=4, folder=tmp_path)
    assert (probabilities.argmax(axis=1) == labels).all()
    assert sorted(predicted) == list(range(40))
    again = cross_validate(None, labels, groups, k=4, folder=tmp_path)  # all folds are in the folder
    assert (again == probabilities).all()
    with pytest.raises(ValueError, match="one row of probabilities"):
        cross_validate(lambda train, test: [1.0] * len(test), labels, groups, k=2)


def test_all_images_keeps_the_order():
    splits = chest_phantoms(2, 1, size=16, mode="L")
    together = all_images(splits)
    assert together.paths == splits.train.paths + splits.test.paths
    assert (together.images[6:] == splits.test.images).all() and (together.labels[:6] == splits.train.labels).all()
    assert len(all_images(Splits(splits.train, None))) == 6


def test_a_summary_by_hand():
    labels = np.array([0, 0, 0, 1, 2, 2])
    predictions = np.array([[0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0], [0, 0, 0, 1, 2, 2]])
    summary = summarise(labels, np.eye(3)[predictions], ["a", "b", "c"], seed=1)
    scores = np.array([accuracy(labels, row) for row in predictions])
    assert summary["accuracy"]["values"] == scores.tolist() == [5 / 6, 3 / 6, 1]
    assert summary["accuracy"]["mean"] == pytest.approx(14 / 18)
    assert summary["accuracy"]["std"] == pytest.approx(np.sqrt(((scores - 14 / 18) ** 2).sum() / 2))
    low, high = summary["accuracy"]["interval"]
    assert 0.3 < low < 14 / 18 < high < 1
    assert summary["macro_f1"]["values"] == pytest.approx([f1_score(labels, row) for row in predictions])
    only_two = summarise(labels[:4], np.eye(3)[predictions[:, :4]], ["a", "b", "c"])  # no run and no image knows c
    assert only_two["macro_f1"]["values"] == pytest.approx([f1_score(labels[:4], row[:4]) for row in predictions])
    assert summary["macro_f1"]["interval"][0] < summary["macro_f1"]["mean"] < summary["macro_f1"]["interval"][1] <= 1
    assert summary["recall"]["a"]["values"] == pytest.approx([2 / 3, 1 / 3, 1])
    assert (summary["recall"]["a"]["min"], summary["recall"]["b"]["max"]) == (pytest.approx(1 / 3), 1.0)
    assert summary["confusion_matrices"] == [confusion_matrix(labels, row, 3).tolist() for row in predictions]
    assert summary["confusion_matrices"][1] == [[1, 2, 0], [0, 1, 0], [1, 0, 1]]


def test_groups_widen_the_interval():
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(20) < 0.7, 10)
    labels = np.repeat([0, 1], 100)
    run = np.eye(2)[np.where(right, labels, 1 - labels)]
    alone, grouped = (summarise(labels, run, ["a", "b"], groups) for groups in (None, np.arange(200) // 10))
    for scores in (lambda one: one["macro_f1"], lambda one: one["accuracy"], lambda one: one["recall"]["a"]):
        (low, high), (lower, higher) = (scores(one)["interval"] for one in (alone, grouped))
        assert higher - lower > 2 * (high - low)
    assert grouped["accuracy"]["interval"] == list(wilson_interval(20 * right.mean(), 20))


def test_runs_that_are_all_right_leave_doubt():
    labels = np.arange(16) % 2
    summary = summarise(labels, np.eye(2)[[labels, labels]], ["a", "b"])
    assert summary["macro_f1"]["mean"] == 1 and summary["macro_f1"]["interval"][0] < summary["accuracy"]["interval"][0]


def test_methods_that_agree_on_every_image_may_differ_elsewhere():
    low, high = difference_interval(np.zeros(40), np.arange(40) // 2)
    assert -low == high == pytest.approx(wilson_interval(0, 20)[1])
    low, high = difference_interval(np.repeat([0.0, 0.0, 1.0], 10), np.arange(30))
    assert 0 < low < 1 / 3 < high < 0.6, "where they differ it is the bootstrap's alone"


def test_a_line_without_images_is_left_out():
    # Both test images are copies of training images.
    assert list(evaluation_lines([0, 1, 0, 1], [0, 0, 1, 1])) == ["2 as published"]


def test_classes_without_images_and_wrong_shapes():
    summary = summarise([0, 0], np.eye(3)[[0, 0]], ["a", "b", "c"])
    assert summary["recall"]["b"] == {
        "values": [],
        "mean": None,
        "std": None,
        "min": None,
        "max": None,
        "interval": [0.0, 1.0],
    }
    assert summary["accuracy"]["std"] is None
    text = lines_text({"2 as published": {"net": summary}})
    assert text.splitlines()[-1].split()[-2:] == ["-", "-"]
    with pytest.raises(ValueError, match=r"\(2, 3\), got \(2, 2\)"):
        summarise([0, 0], np.eye(2)[[0, 0]], ["a", "b", "c"])


def test_folds_of_the_phantoms_divide_no_merged_group():
    found = audit(chest_phantoms(4, 2, size=32))
    groups = merge_groups(found.groups, patient_groups(found.paths, {found.paths[0]: "x", found.paths[-1]: "x"}))
    assert groups[0] == groups[-1]
    cross_validate(
        lambda train, test: np.zeros((len(test), 3)) if not set(groups[train]) & set(groups[test]) else None,
        found.labels,
        groups,
        k=3,
    )
