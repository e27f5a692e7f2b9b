"""What must hold for every exercise: stub, solution, and each known mistake, rejected and named."""

from tinycnn.exercises.check import check

LEAST = 12  # wrong solutions that each exercise tells from a right one


def holds(exercise):
    names = {}
    exec(exercise.stub, names)
    assert not check(exercise, names[exercise.solution.__name__]).written
    assert check(exercise, exercise.solution).ok
    assert len(exercise.hints) >= 3
    assert len({(suspect.right, suspect.wrong) for suspect in exercise.suspects}) >= LEAST
    for suspect in exercise.suspects:
        report = check(exercise, exercise.variant(suspect.right, suspect.wrong))
        assert not report.ok, f"{exercise.name}: passes although {suspect.cause}"
        assert any(text.startswith(suspect.cause) for text in report.suspicions), (suspect.cause, report.suspicions)


def suspected(exercise, answer, *words):
    """A wrong answer, written in another way than the solution: all that is suspected, in this order."""
    report = check(exercise, answer)
    assert report.written and not report.ok
    assert len(report.suspicions) == len(words), report
    for text, word in zip(report.suspicions, words, strict=True):
        assert word in text, report
