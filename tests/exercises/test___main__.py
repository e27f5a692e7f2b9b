"""The command, in this process."""

import pytest

from tinycnn.exercises import EXERCISES
from tinycnn.exercises.__main__ import main


@pytest.fixture
def folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--start", "."]) == 0
    capsys.readouterr()
    return tmp_path


def solve(path, name):
    stub, exercise = EXERCISES[name].stub, EXERCISES[name]
    path.write_text(stub.split("\n\n\n")[0] + "\n\n\n" + exercise.source)


def test_start_writes_all_and_overwrites_nothing(folder, capsys):
    assert {path.stem for path in folder.iterdir()} == set(EXERCISES)
    (folder / "adam.py").write_text("mine")
    (folder / "dense.py").unlink()
    assert main(["--start", str(folder)]) == 0
    assert "adam.py  was there and stays" in capsys.readouterr().out
    assert (folder / "adam.py").read_text() == "mine" and (folder / "dense.py").exists()
    assert main(["dense", "--start", str(folder / "new")]) == 0
    assert [path.name for path in (folder / "new").iterdir()] == ["dense.py"]


def test_one_exercise_from_stub_to_solution(folder, capsys):
    assert main(["dense"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "dense: not written yet",
        "a hint: python -m tinycnn.exercises dense --hint",
    ]
    solve(folder / "dense.py", "dense")
    right = (folder / "dense.py").read_text()
    (folder / "mine.py").write_text(right.replace("= x.T @ grad_y", "= grad_y.T @ x"))
    assert main(["dense", "--file", "mine.py"]) == 1
    assert "suspicion: factors in the wrong order" in capsys.readouterr().out
    assert main(["dense"]) == 0
    assert capsys.readouterr().out.startswith("dense: passes")


def test_the_table(folder, capsys):
    for name in ("adam", "own_layer", "receptive_field"):
        solve(folder / f"{name}.py", name)
    (folder / "dropout.py").write_text("def dropout(:")
    (folder / "im2col.py").unlink()
    assert main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(EXERCISES) + 1 and lines[-1] == f"3 of {len(EXERCISES)} done"
    said = {line.split()[0]: line for line in lines}
    assert said["adam"].split()[1] == "passes" and " not written yet " in said["dense"]
    assert "dropout.py, line 1: " in said["dropout"] and said["im2col"].split()[1:3] == ["no", "file"]


def test_all_done(folder, capsys, tmp_path_factory, monkeypatch):
    for name in EXERCISES:
        solve(folder / f"{name}.py", name)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert main(["--file", str(folder)]) == 0 == main(["adam", "--file", str(folder)])
    assert f"{len(EXERCISES)} of {len(EXERCISES)} done" in capsys.readouterr().out


def test_hints_and_solution(folder, capsys):
    count = len(EXERCISES["dense"].hints)
    for argv, words in [
        (["--hint"], f"hint 1 of {count}: "),
        (["--hint", "2"], "--hint 3 shows more"),
        (["--hint", str(count)], "--solution shows more"),
        (["--solution"], "grad_x = grad_y @ kernel.T"),
    ]:
        assert main(["dense", *argv]) == 0
        assert words in capsys.readouterr().out
    assert main(["dense.py", "--hint", "9"]) == 2
    assert f"dense has hints 1 to {count}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, text, words",
    [
        (["convolution"], None, "there is no exercise 'convolution'; there are dense, "),
        (["--hint"], None, "of one exercise: give its name"),
        (["dense", "--file", "gone.py"], None, "no file gone.py"),
        (["dense", "--file", "mine.txt"], "x = 1", "must end in .py"),
        (["dense", "--file", "mine.py"], "x = 1", "mine.py does not define dense"),
        (["dense", "--file", "mine.py"], "dense = 3", "mine.py does not define dense"),
        (["dense", "--file", "mine.py"], "def dense(:", "mine.py, line 1: "),
        (["dense", "--file", "mine.py"], "import nothing_of_that_name", "ModuleNotFoundError: No module named"),
        (["dense", "--file", "mine.py"], "exit(3)", "fails when it is imported: SystemExit: 3"),
        (["dense", "--file", "mine.py"], "\0", "mine.py"),
    ],
)
def test_errors_in_one_sentence(folder, argv, text, words, capsys):
    if text is not None:
        (folder / argv[-1]).write_text(text)
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error


def test_a_folder_without_exercises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "no exercise lies in the folder" in capsys.readouterr().err


def test_ctrl_c_in_an_endless_loop(folder, capsys):
    (folder / "dense.py").write_text("def dense(x, kernel, bias, grad_y):\n    raise KeyboardInterrupt")
    assert main(["dense"]) == 130
    assert "is there a loop without an end?" in capsys.readouterr().out
