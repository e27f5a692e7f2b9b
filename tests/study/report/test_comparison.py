"""Runs side by side: what differs, and who is right where the other is wrong."""

import json
import re

import pytest
from runs import Page, cats_and_dogs, hostile, small_run

from tinycnn.study.report.comparison import comparison, mcnemar, read_runs, write_comparison


def two_runs():
    """The same run twice, but for a seed, a curve, and three predictions that the second gets right."""
    ours, theirs = small_run()[0], small_run()[0]
    theirs["settings"]["seed"] = 8
    theirs["history"]["loss"] = [1.25, 0.5]
    wrong = [row for row in theirs["predictions"] if row["true"] != row["predicted"]]
    for row in wrong[:3]:
        row["predicted"] = row["true"]
    return {"ours": ours, "theirs": theirs}, len(wrong)


def test_tells_what_differs_and_only_that():
    runs, wrong = two_runs()
    results, same, unlike = comparison(runs)
    assert [row[0] for row in results.blocks[0].rows] == [
        f"{name}: {of}" for name in runs for of in runs[name]["results"]
    ]
    assert same.blocks[1].rows == [("ours and theirs", 12, 12 - wrong, 0, 3, wrong - 3, "0.25")]
    assert unlike.blocks[0].rows == [("seed", "7", "8")]
    assert comparison({"a": runs["ours"], "b": runs["ours"]})[2].blocks == ["None."]


def test_other_images_are_not_compared_one_by_one():
    runs, _ = two_runs()
    for change in ({"path": "elsewhere.png"}, {"true": "Normal"}):
        runs["theirs"]["predictions"][0] = runs["ours"]["predictions"][0] | change
        assert comparison(runs)[1].blocks == ["No two runs were tested on the same images."]
    cats = comparison({"films": small_run()[0], "pets": cats_and_dogs()})
    rows = {row[0]: row[1:] for row in cats[2].blocks[0].rows}
    assert rows["data: name"] == ("films & more", "pets") and rows["data: train"][1] == "4 cat, 4 dog"


@pytest.mark.parametrize("b, c", [(0, 0), (0, 4), (3, 9), (7, 7), (0, 400)])
def test_mcnemar_is_the_binomial_test(b, c):
    stats = pytest.importorskip("scipy.stats")
    assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c).pvalue if b + c else 1.0, rel=1e-9)


def test_the_page_draws_the_curves_over_each_other(tmp_path):
    runs, _ = two_runs()
    text = write_comparison(tmp_path / "c.html", runs).read_text(encoding="utf-8")
    for tip in ("epoch 2, ours: 0.75", "epoch 2, theirs: 0.5", "epoch 1, theirs: 0.001"):
        assert f'data-tip="{tip}"' in text
    assert "never for diagnosis" in text and "2 runs side by side" in text and "Synthetic" not in text


def test_no_text_of_a_run_becomes_markup(tmp_path):
    evil = hostile(small_run()[0])
    text = write_comparison(tmp_path / "c.html", {"<b>x</b>": evil, "b": small_run()[0]}).read_text(encoding="utf-8")
    assert Page(text).tags.count("script") == 1 and "<b>x" not in text


def test_runs_are_named_as_short_as_tells_them_apart(tmp_path):
    for name in ("a/run", "b/run"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "report.json").write_text(json.dumps(small_run()[0]))
    assert list(read_runs([tmp_path / "a/run", tmp_path / "b/run"])) == ["a/run", "b/run"]
    for wrong in ([tmp_path / "a/run"], [tmp_path / "a/run"] * 2):
        with pytest.raises(ValueError, match="two or more different"):
            read_runs(wrong)
    with pytest.raises(FileNotFoundError):
        read_runs([tmp_path / "a/run", tmp_path])


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"results": {}}', '{"results": {"a": 3}}', "no json", '{"results": {"a": {"images": 1}}}']
)
def test_what_is_no_report_is_named(tmp_path, content):
    for name, text in (("a", content), ("b", json.dumps(small_run()[0]))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "a/report.json"))):
        read_runs([tmp_path / "a", tmp_path / "b"])


def test_a_folder_without_a_report_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match=r"file is no folder of a run: it holds no report\.json"):
        read_runs([tmp_path / "file", tmp_path / "other"])


def test_other_layers_are_counted_and_the_same_ones_shown_where_they_differ():
    runs = {name: small_run()[0] for name in ("a", "b")}

    def layers(first, second):
        for run, found in zip(runs.values(), (first, second), strict=True):
            run["model"] = run["model"] | {"layers": found}
        return {row[0]: row[1:] for row in comparison(runs)[-1].blocks[0].rows if row[0].startswith("layer")}

    dense = "Dense(units=3)"
    assert layers(["Conv2D(filters=2)", dense], ["Conv2D(filters=4)", dense]) == {
        "layer 0": ("Conv2D(filters=2)", "Conv2D(filters=4)")
    }
    assert layers(["Conv2D(filters=2)", dense], ["ReLU()", "ReLU()", dense]) == {
        "layers": ("1 Conv2D, 1 Dense", "2 ReLU, 1 Dense")
    }
