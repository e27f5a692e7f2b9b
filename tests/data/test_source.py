import os
import zipfile

import pytest

from tinycnn.data.source import is_junk, open_source

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
        monkeypatch.setattr("tinycnn.data.source._MAX_MEMBER_BYTES", 7)
        with pytest.raises(OSError, match="8 bytes, the limit is 7"):
            source.read(("a.txt",))
