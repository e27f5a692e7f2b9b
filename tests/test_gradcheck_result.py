from tinycnn.gradcheck_result import GradcheckResult, TensorCheck


def row(name, error, ok, index=(0, 1), skipped=0):
    error_of = {"max_abs_error": error / 2, "max_rel_error": error, "analytic": 1.0, "numeric": 1.0 + error}
    return TensorCheck(name, (2, 3), 6 - skipped, skipped, worst_index=index, largest_gradient=4.0, ok=ok, **error_of)


def test_the_worst_is_a_wrong_one_then_the_one_with_the_largest_error():
    right = [row("input", 1e-9, True), row("kernel", 3e-9, True)]
    assert GradcheckResult("title", right).worst is right[1]
    wrong = row("bias", 1e-12, False)
    assert GradcheckResult("title", [*right, wrong]).worst is wrong
    assert GradcheckResult("title").worst is None


def test_the_table():
    result = GradcheckResult(
        "gradcheck of Dense", [row("input", 1e-9, True, skipped=2), row("kernel", 0.5, False, None)]
    )
    result.problems.append("kernel: wrong at a random direction")
    assert not result.ok
    assert str(result).splitlines() == [
        "gradcheck of Dense",
        "tensor  shape   largest grad  max abs error  max rel error  worst index  skipped",
        "input   (2, 3)  4.00e+00      5.00e-10       1.00e-09       (0, 1)       2/6      ok",
        "kernel  (2, 3)  4.00e+00      2.50e-01       5.00e-01       -            0/6      WRONG",
        "kernel: wrong at a random direction",
    ]
    result.table[1].suspicion = "wrong sign"
    assert str(result).endswith("wrong at a random direction\nsuspicion, kernel: wrong sign")
    result.problems.clear()
    result.table[1].suspicion = None
    assert result.ok and str(result).endswith("gradients agree")
