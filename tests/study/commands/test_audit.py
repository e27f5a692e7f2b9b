"""`tinycnn audit`: findings printed, drawn and written."""

import json

from PIL import Image
from runs import films

from tinycnn.__main__ import main
from tinycnn.study.films.audit import audit


def test_prints_and_writes_the_findings(tmp_path, capsys):
    folder = films(tmp_path / "films")
    sheet, findings = tmp_path / "sheet.png", tmp_path / "found.json"
    assert main(["audit", str(folder), "--sheet", str(sheet), "--json", str(findings)]) == 0
    found = audit(folder)
    assert str(found) in capsys.readouterr().out and "1 of 6 test images have a near copy" in str(found)
    assert json.loads(findings.read_text()) == found.to_dict()
    assert Image.open(sheet).format == "PNG"


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert main(["audit", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err
