"""All files of a run, from a network trained for a moment."""

import json

import numpy as np
import pytest
from runs import small_run

import tinycnn
from tinycnn.layers import Conv2D, Dense, Flatten
from tinycnn.model import Sequential
from tinycnn.models import report_cnn
from tinycnn.study.films.phantoms import chest_phantoms
from tinycnn.study.report.run_folder import attention_maps, worth_showing, write_run_report
from tinycnn.study.report.scoring import list_predictions


def test_writes_every_file_and_says_so(tmp_path):
    report, test, probabilities, maps = small_run()
    files = write_run_report(tmp_path / "out", report, test, probabilities, maps)
    names = {"curves.png", "confusion.png", "roc.png", "reliability.png", "samples.png", "overlays.png"}
    names |= {"report.json", "MODEL_CARD.md", "report.html"}
    assert {path.name for path in files} == {path.name for path in (tmp_path / "out").iterdir()} == names
    assert json.loads((tmp_path / "out/report.json").read_text())["settings"] == {"epochs": 2, "seed": 7}
    page = (tmp_path / "out/report.html").read_text()
    # One picture for each of the 12 predictions, and the scale of their colours.
    assert page.count("<img") == 13 and page.count('<svg viewBox="0 0 400') == 5


def test_page_can_be_left_out_and_classes_be_absent(tmp_path):
    report, test, probabilities, maps = small_run()
    some = np.flatnonzero(test.labels < 2)
    files = write_run_report(tmp_path, report, test[some], probabilities[some], maps[some], html=False)
    assert {"roc.png", "report.html"}.isdisjoint(path.name for path in files)


def test_all_correct_or_all_wrong(tmp_path):
    report, test, _, maps = small_run()
    for shift in (0, 1):
        probabilities = np.eye(3)[(test.labels + shift) % 3]
        report["predictions"] = list_predictions(test, probabilities)
        page = write_run_report(tmp_path, report, test, probabilities, maps)[-1].read_text()
        assert page.count('<figure class="wrong"') == 12 * shift
        assert page.count('<figure class="right"') == 12 - 12 * shift


@pytest.mark.parametrize("most", [0, 3, 5, 20, 50])
def test_of_many_images_the_mistakes_come_first(most):
    wrong = np.array([17, 3, 8])
    shown = worth_showing(wrong, 20, most)
    assert len(shown) == len(set(shown)) == min(most, 20)
    assert shown[:3] == wrong[:most].tolist() and set(shown) <= set(range(20))
    assert most != 5 or set(shown[3:]) == {0, 19}


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


def test_any_model_gets_its_report(tmp_path):
    train, test, _ = chest_phantoms(n_train=4, n_test=2, size=32)
    test.images[0] = train.images[0]
    with_conv = Sequential([Conv2D(2, 3, activation="relu"), Flatten(), Dense(3, activation="softmax")])
    history = with_conv.fit(train, test, epochs=2, verbose=0)
    with_conv.metadata["grey"] = "no"
    files = tinycnn.report(
        with_conv, train, test, tmp_path, validation=test, history=history, name="drawn", synthetic=True
    )
    assert {"curves.png", "overlays.png", "report.html", "MODEL_CARD.md"} <= {path.name for path in files}
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["synthetic"] and told["data"]["name"] == "drawn" and told["settings"] == {"grey": "no"}
    assert list(told["results"]) == ["all 6 test images", "5 without near-copies"] and told["temperature"] > 0
    assert told["history"]["val_loss"] == history["val_loss"] and told["model"]["name"] == "sequential"
    page, card = ((tmp_path / name).read_text() for name in ("report.html", "MODEL_CARD.md"))
    assert "Synthetic images." in page and "Trained on synthetic" in card and "lowest validation loss" in page


def test_a_model_without_convolutions_training_images_or_history(tmp_path):
    test = chest_phantoms(n_train=1, n_test=2, size=32).test
    model = Sequential([Flatten(), Dense(3, activation="softmax")])
    model.build((32, 32, 3))
    model.save(tmp_path / "m.npz")
    files = tinycnn.report(Sequential.load(tmp_path / "m.npz"), None, test, tmp_path)
    assert {"curves.png", "overlays.png"}.isdisjoint(path.name for path in files)
    page, card = ((tmp_path / name).read_text() for name in ("report.html", "MODEL_CARD.md"))
    assert page.count("<img") == 6 and "its own scale" not in page and "Curves" in page
    assert "validation" not in card and "absent from the training set" not in card and "near-cop" not in card


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_run_report(tmp_path / "file", *small_run())
