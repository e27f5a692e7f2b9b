"""`tinycnn strip`: copies without metadata, and what was removed."""

from PIL import Image

from tinycnn.__main__ import main


def test_copies_say_what_they_lost(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "in/a.jpg", comment=b"Jane Doe")
    (tmp_path / "in/b.png").write_bytes(b"no image")
    arguments = ["strip", str(tmp_path / "in"), str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "b.png" in capsys.readouterr().err
    assert main([*arguments, "--skip-bad-files"]) == 0
    text = capsys.readouterr().out
    assert "a.jpg: comment\n" in text and "b.png: NOT copied" in text and "1 images copied" in text
    assert b"Jane" not in (tmp_path / "out/a.jpg").read_bytes()
    assert "burnt into" in text


def test_never_onto_the_originals(tmp_path, capsys):
    Image.new("L", (8, 8)).save(tmp_path / "a.jpg")
    assert main(["strip", str(tmp_path), str(tmp_path)]) == 2
    assert "error: " in capsys.readouterr().err
