"""Class folders in a folder, and work on their files."""

import pytest

from tinycnn.data.dataset import BadFile
from tinycnn.data.layout import find_images, map_files, worker_threads
from tinycnn.data.source import FolderSource


@pytest.fixture
def folder(tmp_path):
    for name in ("set/train/a/1.png", "set/train/b/2.png", "set/test/b/3.png", "set/test/a/4.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def test_the_root_is_found_below_single_folders(folder):
    root, classes, (train, test) = find_images(FolderSource(folder), ("train", "test"))
    assert (root, classes) == (("set",), ["a", "b"])
    assert train == [("train/a/1.png", 0), ("train/b/2.png", 1)] and [label for _, label in test] == [0, 1]
    with pytest.raises(ValueError, match="has no folder 'valid'"):
        find_images(FolderSource(folder), ("train", "valid"))


def test_class_folders_without_splits_give_one_list(folder):
    for top in (folder / "set/train", folder / "set/test"):
        root, classes, (files,) = find_images(FolderSource(top), ("train", "test"))
        assert (root, classes, [label for _, label in files]) == ((), ["a", "b"], [0, 1])
        assert [path[:2] for path, _ in files] == ["a/", "b/"]
    with pytest.raises(ValueError, match="no folder 'Train' or 'Tests'; its folders are .'test', 'train'."):
        find_images(FolderSource(folder), ("Train", "Tests"))


def test_one_class_is_not_enough(tmp_path):
    (tmp_path / "train" / "only").mkdir(parents=True)
    with pytest.raises(ValueError, match="needs at least two class folders, it holds .'only'."):
        find_images(FolderSource(tmp_path), "train")


def test_files_that_fail_are_named_and_the_others_come_in_order(folder):
    def read(i, data):
        if i == 1:
            raise ValueError("no image")
        return data.decode()

    names = ["train/a/1.png", "train/b/2.png", "train/b/absent.png", "test/b/3.png"]
    results = map_files(read, FolderSource(folder), ("set",), names, workers=2)
    assert results[0] == "set/train/a/1.png" and results[3] == "set/test/b/3.png"
    assert results[1] == BadFile("train/b/2.png", "no image") and "cannot be read" in results[2].reason


@pytest.mark.parametrize("workers", [0, 2000, float("nan"), "2"])
def test_the_number_of_workers_is_checked(folder, workers):
    with pytest.raises(ValueError, match="workers must be an int from 1 to 1024"):
        map_files(len, FolderSource(folder), (), [], workers)
    assert worker_threads(None) >= 1
