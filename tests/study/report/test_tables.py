"""Tables that line up, and that hostile names cannot break: as text, Markdown and HTML."""

import re

import numpy as np
import pytest

from tinycnn.study.report import tables
from tinycnn.study.report.scoring import score_predictions

NAMES = ("Covid", "Normal", "Viral Pneumonia")
HOSTILE = "two\nlines\x1b[31m\u2028 | <b>bold</b> `x` **y** [a](b) &lt;i&gt;"


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 40)
    return score_predictions(labels, rng.dirichlet([1, 1, 1], 40), NAMES)


def test_text_lines_up(scores):
    results = tables.results_table({"all 40 test images": scores, "few": scores})
    matrix = tables.matrix_table(scores["confusion_matrix"], NAMES)
    for table, lines in ((results, 3), (matrix, 4), (tables.class_table(scores), 4)):
        text = tables.as_text(table).split("\n")
        assert len(text) == lines and len({len(line) for line in text}) == 1


def test_the_three_ways_show_the_same_cells(scores):
    results = tables.results_table({"all": scores})
    cells = [str(cell) for cell in results.rows[0]]
    assert f"{scores['accuracy']:.3f}" in cells and str(scores["correct"]) in cells
    assert re.split(" {2,}", tables.as_text(results).split("\n")[1]) == cells
    assert tables.as_markdown(results).split("\n")[2] == f"| {' | '.join(cells)} |"
    assert re.findall("<td>(.*?)</td>", tables.as_html(results)) == cells


def test_names_break_no_table():
    table = tables.matrix_table([[1, 2], [3, 4]], ["cat", HOSTILE])
    text, markdown, page = tables.as_text(table), tables.as_markdown(table), tables.as_html(table)
    assert len(text.split("\n")) == 3 and "\x1b" not in text + markdown + page
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.split("\n")} == {4}
    assert not re.search(r"(?<!\\)[<>`*&]", markdown)
    assert "<b>" not in page and "&amp;lt;" in page and page.count("<tr>") == 3


def test_a_confusion_matrix_shows_shares_of_its_rows():
    page = tables.as_html(tables.matrix_table([[3, 1, 0], [0, 0, 0], [0, 0, 2]], ["cat", "dog", "cow"]))
    assert '<td class="share8">3 <small>75%</small></td><td class="share2">1 <small>25%</small></td><td>0</td>' in page
    assert "<td>0</td><td>0</td><td>0</td>" in page  # a row without images has no shares
    assert '<td class="share10">2 <small>100%</small></td>' in page


def test_a_long_table_scrolls_in_a_box_that_keys_reach():
    page = tables.as_html(tables.Table(("epoch",), [(1,)]), long=True)
    assert page.startswith('<div class="wide long" tabindex="0">')
