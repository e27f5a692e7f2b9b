"""What is said of a run: the same on its card and its page, and only what is known."""

from html import unescape

from runs import small_run

from tinycnn.study.report.html import write_html_report
from tinycnn.study.report.model_card import write_model_card
from tinycnn.study.report.sections import LongTable, sections
from tinycnn.study.report.tables import Table, markdown_line, markdown_text


def test_card_and_page_say_the_same(tmp_path):
    report, *_ = small_run()
    card = write_model_card(tmp_path / "card.md", report).read_text(encoding="utf-8")
    page = unescape(write_html_report(tmp_path / "page.html", report).read_text(encoding="utf-8"))
    for heading, blocks in sections(report):
        assert f"## {markdown_text(heading)}\n" in card and f"<h2>{heading}</h2>" in page
        for block in blocks:
            if not isinstance(block, Table | LongTable):
                for text in [block] if isinstance(block, str) else block:
                    assert markdown_line(text) in card and text in page
    assert "pairs of near-copies" in page and "pairs of near-copies" not in card


def test_only_what_is_known_has_a_section():
    report, *_ = small_run()
    headings = [heading for heading, _ in sections({"results": report["results"]})]
    assert headings == ["Results", *(f"Results: {name}" for name in report["results"]), "Limits"]
