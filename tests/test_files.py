"""Files are written whole or not at all, for whom they were meant, and read with errors that name them."""

import errno
import os
import re
import signal
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from tinycnn.files import alone, atomic_write, read_json, write_json


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    old = os.umask(0o027)
    yield 0o027
    os.umask(old)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_replaced_file_keeps_its_permissions(tmp_path, mode, umask):
    path = tmp_path / "a.json"
    write_json(path, [1])
    assert mode_of(path) == 0o666 & ~umask
    path.chmod(mode)
    write_json(path, [2])
    assert mode_of(path) == mode and read_json(path) == [2]


def test_writing_never_touches_the_umask_that_all_threads_share(tmp_path, umask, monkeypatch):
    def other_thread_sees(*_):
        raise AssertionError("for a moment every new file of the process has another mode")

    monkeypatch.setattr(os, "umask", other_thread_sees)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: write_json(tmp_path / f"{i}.json", i), range(40)))
    monkeypatch.undo()
    assert {mode_of(path) for path in tmp_path.iterdir()} == {0o666 & ~umask}


@pytest.mark.skipif(os.name == "nt", reason="a folder cannot be synced there")
def test_the_folder_is_synced_after_the_rename(tmp_path, monkeypatch):
    steps, replace, fsync = [], os.replace, os.fsync

    def synced(handle):
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("rename"), replace(*paths)))
    write_json(tmp_path / "a.json", 1)
    assert steps == ["file", "rename", "folder"]


@pytest.mark.parametrize("call", ["mkdir", "open", "fsync", "replace"])
def test_a_full_disk_is_said_of_the_target_at_every_step(tmp_path, monkeypatch, call):
    path = tmp_path / "folder" / "target.json"

    def full(first, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(first))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError) as caught:
        write_json(path, [1])
    monkeypatch.undo()
    assert str(caught.value) == f"[Errno {errno.ENOSPC}] could not write {path}: No space left on device"
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("name", ["a" * 250 + ".json", "ä" * 125 + ".json", "a." + "b" * 253])
def test_a_name_as_long_as_names_may_be(tmp_path, name):
    write_json(tmp_path / name, [1])
    with pytest.raises(KeyError), atomic_write(tmp_path / name):
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == [name] and read_json(tmp_path / name) == [1]


@pytest.mark.skipif(os.name == "nt", reason="no such pipes there")
def test_a_device_or_a_pipe_is_never_replaced_by_a_file(tmp_path):
    """For root, who writes "to /dev/null", the rename would put an ordinary file in its place."""
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(OSError, match="could not write .*pipe.json: it is a device or a pipe, not a file"):
        write_json(tmp_path / "pipe.json", [1])
    assert stat.S_ISFIFO((tmp_path / "pipe.json").stat().st_mode) and len(list(tmp_path.iterdir())) == 1


def test_no_name_is_refused_in_words():
    with pytest.raises(ValueError, match="names no file to write"):
        write_json("", [1])


def test_an_error_inside_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', "[-Infinity]", "[1e999]", "[" * 100_000, "\x00"])
def test_json_that_write_json_never_wrote(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "a.json"))):
        read_json(tmp_path / "a.json")


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    """The child is killed while it writes; files of living writers, of other targets and of the user's stay."""
    path = tmp_path / "a.json"
    child = os.fork()
    if child == 0:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 1
    others = [tmp_path / name for name in (".a-12345678.txt", ".b-12345678.json", "a-12345678.json")]
    for other in others:
        other.write_text("mine")
    with atomic_write(path) as first:
        write_json(path, [1])
        assert first.exists()
        first.write_text("[2]")
    assert sorted(tmp_path.iterdir()) == sorted([path, *others]) and read_json(path) == [2]


def test_writers_of_one_file_take_nothing_from_each_other(tmp_path):
    path = tmp_path / "a.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: write_json(path, [i] * 100), range(200)))
    assert len(set(read_json(path))) == 1 and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
@pytest.mark.parametrize("file", ["", "run.npz"])
def test_a_second_run_is_told_who_has_the_place_until_that_process_ends(tmp_path, file):
    """The first is a process of its own, which is killed: what it leaves behind stops nobody."""
    folder = tmp_path / "runs" / "one"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with alone(folder, file):
            os.write(writing, b"x")
            signal.pause()
    os.read(reading, 1)
    words = f"{folder / file} is in use by process {child} on .*; wait until it has ended, or write to another place"
    for _ in range(2):
        with pytest.raises(OSError, match=words), alone(folder, file):
            pass
    with alone(tmp_path / "runs", file), alone(folder, "other.npz"):  # other places are free
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading), os.close(writing)
    assert list(folder.iterdir())
    with alone(folder, file), pytest.raises(OSError, match=f"in use by process {os.getpid()} "), alone(folder, file):
        pass
    assert list(folder.iterdir()) == []


def test_a_folder_is_made_for_the_lock_and_goes_with_it_unless_something_was_written(tmp_path):
    with alone(tmp_path / "a" / "b"):
        pass
    assert list(tmp_path.iterdir()) == []
    with alone(tmp_path / "a"):
        write_json(tmp_path / "a" / "b.json", 1)
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b.json"]


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
def test_without_locks_nothing_is_kept_and_nothing_said(tmp_path, monkeypatch, capfd):
    def unknown(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unknown)
    with alone(tmp_path), alone(tmp_path):
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with alone(tmp_path / "file" / "folder"):  # which cannot be made
        pass
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
def test_of_many_only_one_at_a_time_has_the_place(tmp_path):
    """Also while lock files are removed and made again between those who look."""
    inside, most, refused = [], [], []

    def work(_):
        try:
            with alone(tmp_path):
                inside.append(1)
                most.append(len(inside))
                inside.pop()
        except OSError:
            refused.append(1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(2000)))
    assert set(most) == {1} and len(most) + len(refused) == 2000
