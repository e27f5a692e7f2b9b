import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from secret_pictures import SECRET, encode, picture

from tinycnn.data.stripping import strip_metadata


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "source"
    for name in ("train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(encode(picture(), "JPEG", comment=SECRET))
    (source / ".DS_Store").write_text(SECRET)
    return source


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folder(source, tmp_path):
    before = contents(source)
    result = strip_metadata(source, tmp_path / "target")
    assert result.removed == {name: ["comment"] for name in ("test/a/3.jpg", "train/a/1.jpg", "train/b/2.jpg")}
    assert result.skipped == [] and contents(source) == before
    after = contents(tmp_path / "target")
    assert set(after) == set(result.removed) and not any(SECRET.encode() in data for data in after.values())
    assert strip_metadata(source, tmp_path / "target").removed == result.removed, "a second run does no harm"
    assert contents(tmp_path / "target") == after


def test_bad_files_are_never_copied(source, tmp_path):
    (source / "patients.csv").write_text(SECRET)
    (source / "train/a/zero.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"(?s)2 of 5 files.*patients.csv.*zero.png: the file is empty"):
        strip_metadata(source, tmp_path / "target")
    assert len(contents(tmp_path / "target")) == 3
    result = strip_metadata(source, tmp_path / "other", on_error="skip")
    assert [bad.path for bad in result.skipped] == ["patients.csv", "train/a/zero.png"]


def test_a_damaged_exif_block_is_left_out_like_any_other(source, tmp_path):
    picture("L").save(source / "x.png", exif=b"Exif\0\0Ma\0*\0\0\0\x08")
    assert strip_metadata(source, tmp_path / "target").removed["x.png"] == ["EXIF"]
    np.testing.assert_array_equal(Image.open(tmp_path / "target" / "x.png"), picture("L"))


def test_linked_folders_are_named_and_not_copied(source, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (source / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="1 of 4 files .*\n  link: .*a link to a folder"):
        strip_metadata(source, tmp_path / "target")
    assert len(strip_metadata(source, tmp_path / "target", on_error="skip").removed) == 3


def test_a_crash_leaves_whole_files_only(source, tmp_path, monkeypatch):
    target = tmp_path / "target"
    expected = contents(source)
    replace, calls = os.replace, []

    def fail_second(*args):
        calls.append(args)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        replace(*args)

    monkeypatch.setattr(os, "replace", fail_second)
    with pytest.raises(OSError, match="No space left"):
        strip_metadata(source, target, workers=1)
    monkeypatch.undo()
    assert contents(source) == expected
    partial = contents(target)
    assert len(partial) == 2 and all(Image.open(io.BytesIO(data)).size == (37, 24) for data in partial.values())
    strip_metadata(source, target)
    assert len(contents(target)) == 3


def test_impossible_folders(source, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        strip_metadata(tmp_path / "absent", tmp_path / "target")
    for target in (source, source / "inside"):
        with pytest.raises(ValueError, match="inside"):
            strip_metadata(source, target)
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError):
        strip_metadata(source, tmp_path / "file")


def test_a_target_around_the_source_is_refused_before_the_first_byte(tmp_path):
    """``one/data`` to ``one`` would write ``one/data/a.jpg`` from ``one/data/data/a.jpg``, over the original."""
    source = tmp_path / "one" / "data"
    (source / "data").mkdir(parents=True)
    for i, path in enumerate((source / "a.jpg", source / "data" / "a.jpg")):
        Image.new("L", (8, 8), 99 * i).save(path, comment=SECRET.encode())
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="around it"):
        strip_metadata(source, tmp_path / "one")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("target", ["FILMS", "FILMS/out", "ONE"])
def test_a_folder_by_another_of_its_names_is_the_same_folder(tmp_path, monkeypatch, target):
    """As on disks that do not tell "FILMS" from "films"."""
    source = tmp_path / "one" / "films"
    source.mkdir(parents=True)
    picture("L").save(source / "a.png")
    (tmp_path / "FILMS").symlink_to(source)
    (tmp_path / "ONE").symlink_to(tmp_path / "one")
    monkeypatch.setattr(Path, "resolve", Path.absolute)  # which names do not tell
    with pytest.raises(ValueError, match="must not be the source"):
        strip_metadata(source, tmp_path / target)
    assert [path.name for path in source.iterdir()] == ["a.png"]


def test_copies_that_come_to_lie_on_one_another_are_named(tmp_path):
    for name in ("sub", "SUB"):
        (tmp_path / "source" / name).mkdir(parents=True)
        picture("L").save(tmp_path / "source" / name / "a.png")
    (tmp_path / "target" / "sub").mkdir(parents=True)
    (tmp_path / "target" / "SUB").symlink_to("sub")
    with pytest.raises(ValueError, match="SUB/a.png and sub/a.png are one file, so one copy is lost"):
        strip_metadata(tmp_path / "source", tmp_path / "target")


def test_a_name_of_255_bytes_is_copied(tmp_path):
    (tmp_path / "source").mkdir()
    picture("L").save(tmp_path / "source" / ("a" * 251 + ".png"))
    assert len(strip_metadata(tmp_path / "source", tmp_path / "target").removed) == 1


@pytest.mark.parametrize("kind", ["folder", "nested folder", "file", "hard"])
def test_links_into_the_source_are_refused_before_the_first_byte(tmp_path, kind):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    target.mkdir()
    picture("L").save(source / "first.png")
    picture("L").save(source / "sub" / "a.jpg", comment=SECRET.encode())
    if kind == "folder":
        (target / "sub").symlink_to(source)
    elif kind == "nested folder":
        (target / "sub").symlink_to(source / "sub")
    else:
        (target / "sub").mkdir()
        link = (target / "sub" / "a.jpg").symlink_to if kind == "file" else (target / "sub" / "a.jpg").hardlink_to
        link(source / "sub" / "a.jpg")
    before = contents(source)
    with pytest.raises(ValueError, match="original"):
        strip_metadata(source, target)
    assert contents(source) == before and not (target / "first.png").exists()


def test_a_source_that_links_to_the_target_is_refused(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    picture("L").save(target / "a.jpg", comment=SECRET.encode())
    (source / "a.jpg").symlink_to(target / "a.jpg")
    before = contents(target)
    with pytest.raises(ValueError, match="original"):
        strip_metadata(source, target)
    assert contents(target) == before
