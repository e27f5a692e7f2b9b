"""All files of a run, from a network trained for a moment."""

import json

import numpy as np
import pytest
from runs import small_run

from tinycnn.models import report_cnn
from tinycnn.study.films.phantoms import chest_phantoms
from tinycnn.study.report.run_folder import attention_maps, write_run_report


def test_writes_every_file_and_says_so(tmp_path):
    report, test, probabilities, maps = small_run()
    files = write_run_report(tmp_path / "out", report, test, probabilities, maps)
    names = {"curves.png", "confusion.png", "roc.png", "reliability.png", "samples.png", "overlays.png"}
    names |= {"report.json", "MODEL_CARD.md", "report.html"}
    assert {path.name for path in files} == {path.name for path in (tmp_path / "out").iterdir()} == names
    assert json.loads((tmp_path / "out/report.json").read_text())["settings"] == {"epochs": 2, "seed": 7}
    page = (tmp_path / "out/report.html").read_text()
    wrong = int((probabilities.argmax(axis=1) != test.labels).sum())
    # Four charts, each mistake (up to 12), and up to four correct images of each class.
    assert page.count("<img") == 4 + wrong + sum(
        min(4, int((probabilities.argmax(axis=1)[test.labels == k] == k).sum())) for k in range(3)
    )


def test_page_can_be_left_out_and_classes_be_absent(tmp_path):
    report, test, probabilities, maps = small_run()
    some = np.flatnonzero(test.labels < 2)
    files = write_run_report(tmp_path, report, test.subset(some), probabilities[some], maps[some], html=False)
    assert {"roc.png", "report.html"}.isdisjoint(path.name for path in files)


def test_all_correct_or_all_wrong(tmp_path):
    report, test, _, maps = small_run()
    for shift in (0, 1):
        probabilities = np.eye(3)[(test.labels + shift) % 3]
        page = write_run_report(tmp_path, report, test, probabilities, maps)[-1].read_text()
        assert ("Worst mistakes" in page) == bool(shift)
        assert ("correct predictions" in page) != bool(shift)


def test_attention_of_a_network():
    train, test, _ = chest_phantoms(n_train=4, n_test=(3, 2, 2), size=32)
    model = report_cnn()
    model.fit(train, epochs=1, verbose=0)
    predictions = model.predict(test).argmax(axis=1)
    maps, attention = attention_maps(model, test, predictions, checked=3)
    assert maps.shape == (7, 32, 32)
    assert list(attention["inside_lungs"]) == list(test.class_names)
    assert all(0.05 < row["area"] < 0.6 for row in attention["inside_lungs"].values())
    assert attention["randomization"].keys() == {"dense_2", "dense_1", "dense", "conv2d_2", "conv2d_1", "conv2d"}


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_run_report(tmp_path / "file", *small_run())
