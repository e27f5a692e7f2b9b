"""The model card: the run's own numbers, known errors, and tables that stay tables."""

import re

import pytest
from runs import Page, cats_and_dogs, hostile, small_run

from tinycnn.study.films.known_sets import known_issues
from tinycnn.study.report.model_card import write_model_card
from tinycnn.study.report.tables import one_line


def card(tmp_path, report, **options):
    return write_model_card(tmp_path / "card.md", report, **options).read_text(encoding="utf-8")


def test_holds_the_runs_numbers(tmp_path):
    report, *_ = small_run()
    text = card(tmp_path, report)
    for scores in report["results"].values():
        low, high = scores["accuracy_interval"]
        assert f"| {scores['accuracy']:.3f} | {low:.2f} - {high:.2f} |" in text
        for row in scores["confusion_matrix"]:
            assert " | ".join(map(str, row)) + " |" in text
    for heading in ("Intended use", "Data and splits", "Results", "Known confounds and label errors", "Limits"):
        assert f"\n## {heading}\n" in text
    assert text.count("never for diagnosis") >= 2
    assert "1,234,567" in text and "1 unreadable files" in text and "No validation images" in text
    assert "synthetic" not in text
    assert "shortcut" in text and "Near-copies of training images" in text


def test_tables_have_equally_many_cells(tmp_path):
    for table in re.findall(r"(?:^\|.*\n)+", card(tmp_path, small_run()[0]), re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(cells) == 1, table
    assert "<b>" not in card(tmp_path, small_run()[0]).replace("\\<b\\>", "")


def test_no_text_of_a_run_becomes_markup(tmp_path):
    text = card(tmp_path, hostile(small_run()[0]), issues=["Wrong\n\n<b>x</b>"])
    assert not re.search(r"(?<!\\)<|(?<!\\)\]", text)
    assert not re.search("^<|^!", text, re.MULTILINE)


OWN = {"h1", "h2", "p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
ATTACKS = "\n\n<b>x</b>|\n# h|1. one|2) two|    code|+ item|- item|* i|---|===|> quote|[a](b)|![a](b)|<http://a.b>"
ATTACKS += "|```x|~~~x|~~s~~|&lt;b&gt;|\\|`|_u_|\\\n<b>|<!-- x -->|[x]: http://y|**b**|\u2028<b>|\r- x"


@pytest.mark.parametrize("attack", [*ATTACKS.split("|"), "| x |"])
def test_a_parser_finds_no_markup_in_a_runs_texts(tmp_path, attack):
    markdown = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"html": True, "linkify": False})
    report = small_run(names=tuple(f"{attack}{name}" for name in "ABC"))[0]
    report["audit"]["warnings"] = report["model"]["layers"] = [attack]
    report["data"]["name"] = report["model"]["name"] = attack
    report["settings"] = {attack: attack}
    page = Page(markdown.render(card(tmp_path, report, issues=[attack])))
    assert set(page.tags) == OWN and one_line(attack).strip("\\") in page.text


def test_a_run_on_other_images_is_not_called_one_on_chests(tmp_path):
    text = card(tmp_path, cats_and_dogs())
    assert "images in 2 classes: cat, dog" in text
    assert not re.search("chest|x-ray|lung|hospital|radiol|clinical|patient", text, re.IGNORECASE)
    assert "chest X-rays in 3 classes" in card(tmp_path, small_run()[0])


def test_synthetic_data_are_called_so(tmp_path):
    assert "**Trained on synthetic images" in card(tmp_path, small_run(synthetic=True)[0])


def test_known_errors_of_the_public_set(tmp_path):
    issues = known_issues({"Covid": 137, "Normal": 90, "Viral Pneumonia": 90})
    assert any("children" in issue for issue in issues) and any("bacterial" in issue for issue in issues)
    assert known_issues({"Covid": 137, "Normal": 90, "Viral Pneumonia": 91}) == ()
    text = card(tmp_path, small_run()[0])
    assert "None are on record" in text
    assert "- The labels were guessed." in card(tmp_path, small_run()[0], issues=["The labels were guessed."])


def test_validation_images_and_temperature(tmp_path):
    report, *_ = small_run()
    report["data"]["validation"] = {"Covid": 2, "Normal": 3}
    report["temperature"] = 2.5
    text = card(tmp_path, report)
    assert "| class | train | validation | test | weight in the loss |" in text
    assert "| Covid | 5 | 2 | 4 | 1.0000 |" in text
    assert "2.500" in text and "No validation images" not in text


def test_says_what_the_report_lacks(tmp_path):
    report, *_ = small_run()
    del report["data"], report["versions"]
    with pytest.raises(ValueError, match="lacks data, versions"):
        card(tmp_path, report)
    assert not (tmp_path / "card.md").exists()
    for optional in ("audit", "class_weights", "attention", "timing"):
        report = small_run()[0]
        del report[optional]
        card(tmp_path, report)
