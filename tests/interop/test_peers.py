"""What a conversion says where its library is missing, and that none is imported before one is asked for."""

import subprocess
import sys

import pytest

from tinycnn.interop.peers import peer


def test_a_library_that_is_missing_is_named():
    with pytest.raises(ImportError, match="to_nowhere needs nolibrary, which is not installed: pip install nolibrary"):
        peer("nolibrary.part", "to_nowhere")


def test_a_library_that_is_broken_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "brokenlibrary.py").write_text("import what_it_needs")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        peer("brokenlibrary", "to_nowhere")


def test_importing_the_conversions_imports_no_other_library():
    code = "import sys, tinycnn.interop; print({'torch', 'keras', 'tensorflow', 'onnx'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
