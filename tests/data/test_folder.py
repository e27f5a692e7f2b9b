import os
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from tinycnn.data.folder import load_image_folder
from tinycnn.losses import balanced_class_weights


def save(path, value, shape=(6, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


@pytest.fixture
def root(tmp_path):
    """Two classes, 3 + 2 training and 1 + 2 test images, every image of another grey."""
    root = tmp_path / "set"
    names = ["train/b/2.png", "train/b/10.png", "train/a/1.png", "train/a/9.bmp", "train/a/sub/1.png"]
    names += ["test/a/x.png", "test/b/y.png", "test/b/z.tif"]
    for i, name in enumerate(names):
        save(root / name, 10 * i + 5)
    return root


def test_labels_order_and_pixels(root):
    train, test, skipped = load_image_folder(root, size=(4, 3), mode="L")
    assert train.class_names == test.class_names == ("a", "b")
    assert train.paths == ("train/a/1.png", "train/a/9.bmp", "train/a/sub/1.png", "train/b/10.png", "train/b/2.png")
    assert test.paths == ("test/a/x.png", "test/b/y.png", "test/b/z.tif")
    assert train.labels.tolist() == [0, 0, 0, 1, 1] and test.labels.tolist() == [0, 1, 1]
    assert train.images.shape == (5, 4, 3, 1) and train.images.dtype == np.uint8
    assert train.images[:, 0, 0, 0].tolist() == [25, 35, 45, 15, 5]
    assert test.images[:, 3, 2, 0].tolist() == [55, 65, 75]
    assert skipped == []


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_folder_above_and_zip_as_kaggle_gives_it(root, levels):
    expected = load_image_folder(root, size=4)
    top = root.parent
    for level in range(levels):
        top = top / f"level{level}"
    if levels:
        top.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root, top / "set")
        (root.parent / "README.txt").write_text("files beside the single folder do not matter")
    archive = top.parent / "kaggle.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(root.parent.rglob("*.*"), reverse=True):
            if path.is_file() and path != archive:
                file.write(path, path.relative_to(root.parent))
                file.writestr(f"__MACOSX/{path.relative_to(root.parent).parent}/._{path.name}", "resource fork")
    for found in (load_image_folder(root.parent, size=4), load_image_folder(archive, size=4)):
        assert found.train.paths == expected.train.paths
        np.testing.assert_array_equal(found.train.images, expected.train.images)
        np.testing.assert_array_equal(found.test.labels, expected.test.labels)


def test_junk_is_passed_over(root):
    for name in (".DS_Store", "Thumbs.db", "._1.png", "desktop.ini"):
        (root / "train/a" / name).write_text("junk")
    (root / "train/.ipynb_checkpoints").mkdir()
    (root / "train/notes.txt").write_text("beside the class folders")
    assert len(load_image_folder(root, size=4).train) == 5


def test_thread_count_does_not_matter(root):
    one, three = load_image_folder(root, size=9, workers=1), load_image_folder(root, size=9, workers=3)
    np.testing.assert_array_equal(one.train.images, three.train.images)


@pytest.fixture
def damaged(root):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(root / "train/a/cut.jpg")
    data = (root / "train/a/cut.jpg").read_bytes()
    (root / "train/a/cut.jpg").write_bytes(data[: len(data) // 2])
    (root / "train/b/zero.jpeg").write_bytes(b"")
    (root / "test/b/notes.csv").write_text("a,b")
    save(root / "test/a/bomb.png", 0, (80, 90))
    return root


def test_all_bad_files_in_one_error(damaged, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4096)
    with warnings.catch_warnings(), pytest.raises(ValueError) as caught:
        warnings.simplefilter("error")
        load_image_folder(damaged, size=4)
    text = str(caught.value)
    assert "4 of 12 files" in text
    for name, reason in [
        ("train/a/cut.jpg", "truncated"),
        ("train/b/zero.jpeg", "empty"),
        ("test/b/notes.csv", "not an image"),
        ("test/a/bomb.png", "decompression bomb"),
    ]:
        line = next(line for line in text.splitlines() if name in line)
        assert reason in line


def test_bad_files_skipped_and_listed(damaged):
    train, test, skipped = load_image_folder(damaged, size=4, mode="L", on_error="skip")
    assert [bad.path for bad in skipped] == ["train/a/cut.jpg", "train/b/zero.jpeg", "test/b/notes.csv"]
    assert all(bad.reason for bad in skipped)
    assert train.paths == ("train/a/1.png", "train/a/9.bmp", "train/a/sub/1.png", "train/b/10.png", "train/b/2.png")
    assert train.images[:, 0, 0, 0].tolist() == [25, 35, 45, 15, 5]
    assert test.paths == ("test/a/bomb.png", "test/a/x.png", "test/b/y.png", "test/b/z.tif")


def test_a_class_that_skipping_empties(root):
    (root / "test/a/x.png").write_bytes(b"")
    with pytest.raises(ValueError, match="class 'a' of .*test"):
        load_image_folder(root, size=4, on_error="skip")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(root):
    (root / "train/a/1.png").chmod(0)
    with pytest.raises(ValueError, match="train/a/1.png: cannot be read"):
        load_image_folder(root, size=4)


def test_linked_and_unreadable_folders_are_named(root, monkeypatch):
    (root / "train/b/link").symlink_to(root / "train/a/sub")
    scandir, listdir, closed = os.scandir, os.listdir, str(root / "train/a/sub")

    def denied(function):  # as the system does it to all but the superuser, who may run this
        def read(path):
            if os.fspath(path) == closed:
                raise PermissionError(13, "Permission denied", closed)
            return function(path)

        return read

    monkeypatch.setattr(os, "scandir", denied(scandir))
    monkeypatch.setattr(os, "listdir", denied(listdir))
    with pytest.raises(ValueError, match=r"(?s)2 of 9 files.*train/a/sub: .*denied.*train/b/link: .*link to a folder"):
        load_image_folder(root, size=4)
    train, _, skipped = load_image_folder(root, size=4, on_error="skip")
    assert [bad.path for bad in skipped] == ["train/a/sub", "train/b/link"]
    assert train.paths == ("train/a/1.png", "train/a/9.bmp", "train/b/10.png", "train/b/2.png")


def test_a_damaged_exif_block_stops_nothing(root):
    Image.new("L", (5, 6), 99).save(root / "train/a/1.png", exif=b"Exif\0\0Ma\0*\0\0\0\x08")
    train, _, skipped = load_image_folder(root, size=4, mode="L")
    assert skipped == [] and train.images[0, 0, 0, 0] == 99


def test_structure_errors(root):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_image_folder(root / "nowhere")
    with pytest.raises(ValueError, match="(?s)no folder 'train' or 'test'.*split/class/image files, or class/image"):
        load_image_folder(root / "train/a")
    with pytest.raises(ValueError, match="no folder 'validation'"):
        load_image_folder(root, splits=("train", "validation"))
    (root / "train/c").mkdir()
    with pytest.raises(ValueError, match="train.c is empty"):
        load_image_folder(root)
    (root / "train/c").rmdir()
    save(root / "test/d/1.png", 0)
    with pytest.raises(ValueError, match=r"\['d'\].*only \['a', 'b'\]"):
        load_image_folder(root)
    shutil.rmtree(root / "test")
    with pytest.raises(ValueError, match="no folder 'test'"):
        load_image_folder(root)
    (root / "test").mkdir()
    with pytest.raises(ValueError, match="test holds no class folder"):
        load_image_folder(root)
    shutil.rmtree(root / "train/b")
    with pytest.raises(ValueError, match="at least two class folders"):
        load_image_folder(root)


@pytest.fixture
def pets(tmp_path):
    """Class folders alone, of ten different images each."""
    rng, folder = np.random.default_rng(0), tmp_path / "pets"
    for i in range(20):
        path = folder / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8).repeat(8, 0).repeat(8, 1)).save(path)
    return folder


def test_class_folders_alone_are_cut(pets):
    train, test, skipped = load_image_folder(pets, size=8, mode="L")
    assert train.counts() == {"cat": 8, "dog": 8} and test.counts() == {"cat": 2, "dog": 2} and skipped == []
    assert sorted(train.paths + test.paths) == sorted(f"{('cat', 'dog')[i % 2]}/{i}.png" for i in range(20))
    assert list(train.paths) == sorted(train.paths) and list(test.paths) == sorted(test.paths)
    whole, nothing, _ = load_image_folder(pets, size=8, mode="L", validation_split=0)
    assert len(whole) == 20 and nothing is None
    assert load_image_folder(pets, size=8, mode="L", splits="all").train.paths == whole.paths
    for part in (train, test):
        np.testing.assert_array_equal(part.images, whole[[whole.paths.index(path) for path in part.paths]].images)
    assert load_image_folder(pets, size=8, validation_split=0.5).test.counts() == {"cat": 5, "dog": 5}


def test_the_cut_is_the_same_in_a_zip_and_with_a_folder_above(pets):
    expected = load_image_folder(pets, size=4).test.paths
    archive = shutil.make_archive(str(pets.parent / "pets"), "zip", pets.parent, "pets")
    assert load_image_folder(archive, size=4).test.paths == expected
    os.remove(archive)
    assert load_image_folder(pets.parent, size=9, mode="L", workers=1).test.paths == expected


def test_the_cut_divides_no_copies_and_no_patient(pets):
    for name in ("cat", "dog"):
        first, *others = sorted((pets / name).iterdir())
        for i, path in enumerate(others[:4]):
            path.rename(path.with_name(f"person{i // 2}_{i}.png"))
        with Image.open(first) as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(pets / name / "mirrored.png")
            image.resize((40, 40)).save(pets / name / "smaller.jpg")
    together = [
        {f"{name}/{one}" for one in (first, "mirrored.png", "smaller.jpg")} for name, first in (("cat", "0.png"),)
    ]
    together += [{f"{name}/person{k}_{i}.png" for name in ("cat", "dog") for i in (2 * k, 2 * k + 1)} for k in (0, 1)]
    for share in (0.5, 0.3, 0.2):
        for part in load_image_folder(pets, size=4, validation_split=share)[:2]:
            for group in together:
                assert group <= set(part.paths) or not group & set(part.paths)


def test_bad_files_of_a_folder_that_is_cut(pets):
    (pets / "cat/bad.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="(?s)1 of 21 files.*cat/bad.png"):
        load_image_folder(pets, size=4)
    train, test, skipped = load_image_folder(pets, size=4, on_error="skip")
    assert [bad.path for bad in skipped] == ["cat/bad.png"] and len(train) == 16 and len(test) == 4
    for path in pets.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="21 of 21 files"):
        load_image_folder(pets, size=4)


def test_what_cannot_be_cut(pets):
    for path in sorted((pets / "cat").iterdir())[4:]:
        path.unlink()
    with pytest.raises(ValueError, match="pets has no folders.*class cat is spread over 4 groups.*a larger share"):
        load_image_folder(pets, size=4)
    assert load_image_folder(pets, size=4, validation_split=0.25).test.counts() == {"cat": 1, "dog": 3}
    (pets / "cat").rename(pets / "Test")
    with pytest.raises(ValueError, match=r"no folder 'train' or 'test'; its folders are \['Test', 'dog'\]"):
        load_image_folder(pets, size=4)


def test_one_split_and_other_names(root):
    train, test, _ = load_image_folder(root, size=4, splits=("train",))
    assert len(train) == 5 and test is None
    (root / "train").rename(root / "Training")
    assert len(load_image_folder(root, size=4, splits=("Training", "test")).train) == 5


@pytest.mark.parametrize(
    "options",
    [
        {"splits": ()},
        {"splits": ("a", "a")},
        {"on_error": "ignore"},
        {"workers": 0},
        {"workers": float("nan")},
        {"workers": 10**9},
        {"mode": "CMYK"},
        {"validation_split": 0.7},
        {"validation_split": "a fifth"},
    ],
)
def test_bad_arguments(root, options):
    with pytest.raises(ValueError):
        load_image_folder(root, **options)


def test_the_real_images(real_folder):
    train, test, skipped = load_image_folder(real_folder, size=32)
    assert train.counts() == {"Covid": 111, "Normal": 70, "Viral Pneumonia": 70}
    assert test.counts() == {"Covid": 26, "Normal": 20, "Viral Pneumonia": 20}
    assert skipped == []
    np.testing.assert_allclose(balanced_class_weights(train.labels), [0.7537, 1.1952, 1.1952], atol=1e-4)
