"""`tinycnn compare`: tables on the terminal, and a page."""

import json

from runs import small_run

from tinycnn.__main__ import main


def test_prints_the_tables_and_writes_the_page(tmp_path, capsys):
    for seed, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        report = small_run(seed=seed)[0]
        report["settings"]["seed"] = seed
        (tmp_path / name / "report.json").write_text(json.dumps(report))
    folders = [str(tmp_path / name) for name in ("first", "second")]
    assert main(["compare", *folders, "--out", str(tmp_path / "page.html")]) == 0
    text = capsys.readouterr().out
    for words in (
        "first: all 12 test images",
        "second: all 12",
        "first and second",
        "\nSettings that differ\n",
        "seed",
    ):
        assert words in text
    assert "first and second" in (tmp_path / "page.html").read_text()
    assert main(["compare", folders[0]]) == 2 and main(["compare", folders[0], str(tmp_path)]) == 2
    assert "report.json" in capsys.readouterr().err
