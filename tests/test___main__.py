"""The shell's door: every command's help, errors in a line, exit codes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tinycnn
import tinycnn.study.commands
from tinycnn.__main__ import COMMANDS, main
from tinycnn.study.commands import summary


def test_every_file_is_a_command_and_keeps_the_contract():
    folder = Path(tinycnn.study.commands.__file__).parent
    assert sorted(COMMANDS) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    for name in COMMANDS:
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert ast.get_docstring(tree) and {"add_arguments", "run"} <= set(functions)


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0 and "exit codes: 0 done" in text
    assert all(f"\n    {name} " in text for name in COMMANDS)


def test_says_its_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0 and capsys.readouterr().out == f"tinycnn {tinycnn.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0 and f"usage: tinycnn {name}" in text and "130 stopped" in text


@pytest.mark.parametrize("arguments", [[], ["sumary"], ["summary"], ["summary", "a", "--no-such-option"]])
def test_wrong_options_are_two(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and "usage: tinycnn" in capsys.readouterr().err


def test_errors_are_one_line(tmp_path, capsys):
    assert main(["summary", str(tmp_path / "none.npz")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "none.npz" in error and error.count("\n") == 1


def test_ctrl_c_is_130(monkeypatch, capsys):
    def stop(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(summary, "run", stop)
    assert main(["summary", "a.npz"]) == 130
    assert "stopped" in capsys.readouterr().out


def test_the_module_is_the_command_and_imports_no_other():
    code = "import sys; sys.argv = ['tinycnn', 'summary', 'none.npz']; import runpy\n"
    code += "try: runpy.run_module('tinycnn', run_name='__main__')\n"
    code += (
        "except SystemExit as end: print(end.code, [m for m in sys.modules if m.startswith('tinycnn.study.commands.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=100)
    assert done.stdout == "2 ['tinycnn.study.commands.summary']\n", done.stderr
