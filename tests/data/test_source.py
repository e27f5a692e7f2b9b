import os
import tracemalloc
import zipfile
from contextlib import suppress

import pytest

from tinycnn.data.source import MAX_DEPTH, MAX_FILE_BYTES, is_junk, open_source, read_file

FILES = ["top/a/1.txt", "top/a/deep/2.txt", "top/b/3.txt", "top/.DS_Store", "__MACOSX/top/._1.txt", "top/b/Thumbs.db"]


@pytest.fixture(params=["folder", "zip"])
def path(request, tmp_path):
    if request.param == "folder":
        for name in FILES:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)
        (tmp_path / "top/empty").mkdir()
        return tmp_path
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in FILES:
            file.writestr(name, name)
        file.writestr("top/empty/", "")
    return tmp_path / "data.zip"


def test_both_list_walk_and_read_alike(path):
    with open_source(path) as source:
        assert source.listing() == (["top"], [])
        assert source.listing(("top",)) == (["a", "b", "empty"], [])
        assert source.listing(("top", "a")) == (["deep"], ["1.txt"])
        assert sorted(source.walk(("top", "a"))) == [("1.txt",), ("deep", "2.txt")]
        assert list(source.walk(("top", "empty"))) == []
        assert source.read(("top", "b", "3.txt")) == b"top/b/3.txt"
        assert source.where("top", "a").replace("\\", "/") == f"{path}/top/a".replace("\\", "/")


def test_a_pipe_is_no_file(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe.png")
    with open_source(tmp_path) as source, pytest.raises(OSError, match="not a regular file"):
        source.read(("pipe.png",))


def test_junk_by_any_case():
    assert is_junk("THUMBS.DB") and is_junk("__macosx") and not is_junk("macosx")


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png", "a\\..\\evil.png"])
def test_unsafe_paths_in_a_zip(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("train/a/1.png", "x")
        file.writestr(name, "x")
    with pytest.raises(ValueError, match="unsafe path"):
        open_source(tmp_path / "evil.zip")


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        open_source(tmp_path / "absent")
    (tmp_path / "film.png").write_text("x")
    with pytest.raises(ValueError, match="neither a folder nor a zip"):
        open_source(tmp_path / "film.png")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match="bad.zip is not a whole zip"):
        open_source(tmp_path / "bad.zip")


def test_damaged_and_oversized_members(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as file:
        file.writestr("a.txt", "contents")
    data = bytearray((tmp_path / "data.zip").read_bytes())
    data[data.index(b"contents")] ^= 1
    (tmp_path / "data.zip").write_bytes(data)
    with open_source(tmp_path / "data.zip") as source:
        with pytest.raises(OSError, match="CRC"):
            source.read(("a.txt",))
        monkeypatch.setattr("tinycnn.data.source.MAX_FILE_BYTES", 7)
        with pytest.raises(OSError, match="8 bytes, the limit is 7"):
            source.read(("a.txt",))


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / "sparse.png", "wb") as file:
        file.truncate(6 * MAX_FILE_BYTES)
    tracemalloc.start()
    try:
        with (
            open_source(tmp_path) as source,
            pytest.raises(OSError, match="3,221,225,472 bytes, the limit is 536,870,9"),
        ):
            source.read(("sparse.png",))
        with pytest.raises(OSError, match="sparse.png"):
            read_file(tmp_path / "sparse.png")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_two_members_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("train/a.png", "train/b.png", "train//a.png"):
            archive.writestr(name, name)
    with pytest.raises(ValueError, match="two files by the name 'train//a.png', of which one would be left out"):
        open_source(tmp_path / "a.zip")


def test_endless_depth_in_a_zip_is_refused_before_it_costs_memory(tmp_path):
    path = tmp_path / "deep.zip"
    for depth, ending in ((MAX_DEPTH, "x.png"), (32_000, "x.png"), (32_000, "")):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a/" * depth + ending, "x")
        if depth == MAX_DEPTH:
            with open_source(path) as source:
                assert list(source.walk()) == [("a",) * depth + ("x.png",)]
            continue
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match="deep.zip holds more than 32 folders in one another: a/a/a"):
                open_source(path)
            assert tracemalloc.get_traced_memory()[1] < 10 << 20
        finally:
            tracemalloc.stop()


def test_endless_depth_of_folders_is_refused(tmp_path):
    deep = tmp_path.joinpath(*"a" * MAX_DEPTH)
    deep.mkdir(parents=True)
    (deep / "x.png").touch()
    with open_source(tmp_path) as source:
        assert list(source.walk()) == [("a",) * MAX_DEPTH + ("x.png",)]
        (deep / "b").mkdir()
        with pytest.raises(ValueError, match="more than 32 folders"):
            list(source.walk())


@pytest.mark.parametrize("name", ["\0", "."])
def test_a_file_without_a_name_in_a_zip(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as file:
        file.writestr("train/a.png", "x")
        file.writestr("Q", "x")
    data = (tmp_path / "data.zip").read_bytes()
    (tmp_path / "data.zip").write_bytes(data.replace(b"Q", name.encode()))
    with pytest.raises(ValueError, match="data.zip holds a file without a name"):
        open_source(tmp_path / "data.zip")


def test_every_damage_of_a_zip_is_the_zips_or_the_members_own_error(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("a/1.txt", "é/2.txt"):
            file.writestr(name, "contents" * 9)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for value in {0, 7, 64, 114, 207, 255, whole[at] ^ 1} - {whole[at]}:
            path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            with suppress(ValueError), open_source(path) as source:
                for parts in source.walk():
                    with suppress(OSError):
                        source.read(parts)


def test_folders_that_are_not_entered_are_walked_as_files_that_cannot_be_read(tmp_path, monkeypatch):
    for name in ("open/1.png", "closed/2.png", "elsewhere/3.png", "open/deep/4.png"):
        (tmp_path / "top" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "top" / name).touch()
    (tmp_path / "top/open/link").symlink_to(tmp_path / "top/elsewhere")
    (tmp_path / "top/open/dangling").symlink_to(tmp_path / "nowhere")
    closed, scandir, listdir = str(tmp_path / "top/closed"), os.scandir, os.listdir

    def denied(function):  # by the system, except to the superuser, who may run this
        def read(path):
            if os.fspath(path) == closed:
                raise PermissionError(13, "Permission denied", closed)
            return function(path)

        return read

    monkeypatch.setattr(os, "scandir", denied(scandir))
    monkeypatch.setattr(os, "listdir", denied(listdir))
    with open_source(tmp_path) as source:
        found = {"/".join(parts) for parts in source.walk(("top",))}
        assert found == {"open/1.png", "closed", "elsewhere/3.png", "open/deep/4.png", "open/link", "open/dangling"}
        assert list(source.walk(("top", "closed"))) == [()]
        with pytest.raises(PermissionError, match="Permission denied"):
            source.read(("top", "closed"))
        with pytest.raises(OSError, match="a link to a folder"):
            source.read(("top", "open", "link"))
        with pytest.raises(FileNotFoundError):
            source.read(("top", "open", "dangling"))


def test_what_zipfile_says_of_a_damaged_member_is_cut_short(tmp_path):
    """It quotes the header's name, which is as long as two damaged bytes say."""
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as file:
        file.writestr("a/1.txt", "x" * 5000)
    data = bytearray((tmp_path / "data.zip").read_bytes())
    data[26:28] = (5000).to_bytes(2, "little")
    (tmp_path / "data.zip").write_bytes(data)
    with open_source(tmp_path / "data.zip") as source, pytest.raises(OSError, match="damaged in the zip") as caught:
        source.read(("a", "1.txt"))
    assert len(str(caught.value)) < 300
