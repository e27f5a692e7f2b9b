"""The table of a gradient check."""

from tinycnn.gradcheck_result import GradcheckResult, TensorCheck


def row(name, error, ok=True):
    return TensorCheck(name, (2, 3), 6, 1, error, error / 2, (1, 2), 1.0, 1.0 + error, 4.0, ok)


def test_the_worst_row_is_a_wrong_one_however_small_its_error():
    result = GradcheckResult("a check", [row("input", 0.5), row("kernel", 0.1, ok=False), row("bias", 0.2)])
    assert result.worst.name == "kernel" and result.ok
    result.problems.append("kernel: wrong at index (1, 2)")
    assert not result.ok
    assert GradcheckResult("empty").worst is None


def test_the_table_lines_up_and_ends_in_the_verdict():
    lines = str(GradcheckResult("a check", [row("input", 0.5), row("a/long/name", 0.25, ok=False)])).split("\n")
    assert lines[0] == "a check" and lines[-1] == "gradients agree"
    assert lines[1].index("shape") == lines[2].index("(2, 3)") == lines[3].index("(2, 3)")
    assert lines[2].endswith("1/7      ok") and lines[3].endswith("WRONG")
