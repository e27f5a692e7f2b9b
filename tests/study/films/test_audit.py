import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tinycnn.data.dataset import Dataset, Splits
from tinycnn.data.splits import first_of_each_group, leak_free
from tinycnn.study.films.audit import audit
from tinycnn.study.films.phantoms import chest_phantoms


@pytest.fixture(scope="module")
def phantoms():
    return chest_phantoms(n_train=6, n_test=3, size=96, mode="L")


def copied(phantoms):
    """Test image 1 becomes a darker copy of training image 4; training image 13, of class 2, of image 2, of class 0."""
    train, test = phantoms.train.images.copy(), phantoms.test.images.copy()
    test[1] = train[4] // 2
    train[13] = train[2]
    return Splits(
        Dataset(train, phantoms.train.labels, phantoms.train.class_names),
        Dataset(test, phantoms.test.labels, phantoms.test.class_names),
    )


def test_a_clean_set_has_no_copies(phantoms):
    result = audit(phantoms)
    assert result.pairs == [] and len(np.unique(result.groups)) == 27
    assert len(result.leak_free_test) == 9
    assert "Near copies: 0 pairs" in str(result)


def test_copies_leaks_and_conflicts(phantoms):
    result = audit(copied(phantoms))
    assert {(p.a, p.b, p.kind) for p in result.pairs} == {(2, 13, "identical"), (4, 19, "near copy")}
    assert result.paths[4] == "train[4]" and result.paths[19] == "test[1]"
    assert result.groups[2] == result.groups[13] and result.test_groups[1] == result.train_groups[4]
    assert result.leak_free_test.tolist() == [0, 2, 3, 4, 5, 6, 7, 8]
    text = str(result)
    assert "1 of 9 test images have a near copy in training" in text
    assert "the same image in two classes: train[2] and train[13]" in text
    assert "1 training images repeat" in text


def test_findings_as_json(phantoms):
    found = json.loads(json.dumps(audit(copied(phantoms)).to_dict()))
    assert found["images"] == {"train": 18, "test": 9} and found["leak_free_test_images"] == 8
    assert found["near_copies"][0]["a"] == "train[2]"


def test_training_alone(phantoms):
    result = audit(Splits(phantoms.train, None))
    assert len(result.paths) == 18 and not result.in_test.any() and len(result.leak_free_test) == 0


def test_shortcuts_are_named():
    """Class b is brighter everywhere; classes a and c differ in nothing."""
    images = np.random.default_rng(0).integers(0, 100, (60, 32, 32, 1), np.uint8)
    labels = np.arange(60) % 3
    images[labels == 1] += 60
    warnings = audit(Splits(Dataset(images, labels, ("a", "b", "c")), None)).warnings
    assert any("mean is larger in 'b' than in the rest (AUC 1.00)" in warning for warning in warnings)
    assert not any("'c'" in warning and "larger" in warning for warning in warnings)


@pytest.fixture
def folder(tmp_path, phantoms):
    """Files of all sorts, from phantoms; two classes."""
    root = tmp_path / "set"
    for i, image in enumerate(phantoms.train.images[..., 0]):
        path = root / ("test" if i % 6 == 5 else "train") / ("a" if i < 9 else "b") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((96, 96) if i < 9 else (150, 96)).save(path)
    return root


def test_class_folders_alone_are_all_for_training_but_what_is_held_out(folder):
    (folder / "train/a/0.png").rename(folder / "train/a/person4_0.png")
    whole = audit(folder / "train")
    assert len(whole.paths) == 15 and not whole.in_test.any() and whole.patients == {"a/person4_0.png": "person 4"}
    cut = audit(folder / "train", held_out=["b/10.png", "a/2.png"])
    assert cut.paths[13:] == ["a/2.png", "b/10.png"] and cut.in_test.tolist() == [False] * 13 + [True] * 2
    assert cut.labels[13:].tolist() == [0, 1] and sorted(cut.paths) == whole.paths
    told = [any("cut from the same folder" in warning for warning in found.warnings) for found in (whole, cut)]
    assert told == [False, True]
    assert audit(folder).patients == {}, "splits that others have made stay as they are"


def test_files(folder, phantoms):
    picture = Image.open(folder / "train/a/0.png")
    picture.save(folder / "train/a/0.png", "JPEG", comment=b"Jane Doe")
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", "Jane Doe")
    Image.open(folder / "train/a/1.png").save(folder / "train/a/1.png", pnginfo=text)
    colours = np.repeat(phantoms.train.images[2], 3, axis=2)
    colours[:30, :, 0] = 200
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "Jane Doe", 3
    Image.fromarray(colours).save(folder / "train/a/2.jpg", exif=exif)
    (folder / "test/b/zero.png").write_bytes(b"")

    result = audit(folder)
    text = str(result)
    assert "train/a/0.png is in truth a JPEG file" in text
    assert "1 images are coloured: train/a/2.jpg" in text
    assert "1 images are rotated by EXIF: train/a/2.jpg" in text
    assert "width is smaller in 'a' than in the rest (AUC 1.00)" in text
    assert "1 files cannot be read: test/b/zero.png" in text
    assert result.metadata == {
        "train/a/0.png": ["comment"],
        "train/a/1.png": ["text Patient"],
        "train/a/2.jpg": ["EXIF ImageDescription", "EXIF Orientation"],
    }
    assert "Jane" not in text + json.dumps(result.to_dict()), "a report goes further than the images may"
    assert len(result.paths) == 19 and "test/b/zero.png" not in result.paths


def test_folder_and_zip_alike(folder):
    with zipfile.ZipFile(folder.parent / "set.zip", "w") as file:
        for path in folder.rglob("*.png"):
            file.write(path, path.relative_to(folder.parent))
    assert str(audit(folder)) == str(audit(folder.parent / "set.zip"))


def test_nothing_readable(folder):
    for path in folder.rglob("*.png"):
        path.write_bytes(b"x")
    with pytest.raises(ValueError, match="none of the 18 files"):
        audit(folder)


def test_contact_sheet(phantoms, tmp_path):
    result = audit(copied(phantoms))
    result.contact_sheet(tmp_path / "sheet.png")
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.width > 900 and sheet.height > 5 * 96
    pixels = np.asarray(sheet).reshape(-1, 3)
    assert (pixels == [40, 90, 200]).all(1).any() and (pixels == [210, 60, 30]).all(1).any()
    result.contact_sheet(tmp_path / "short.png", max_groups=0)
    assert Image.open(tmp_path / "short.png").height < sheet.height


TWINS = """
train/Covid/COVID-00003b.jpg test/Covid/COVID-00003b.jpg
train/Covid/COVID-00012.jpg test/Covid/COVID-00012.jpg
train/Covid/COVID-00022.jpg test/Covid/COVID-00022.jpg
train/Covid/COVID-00033.jpg test/Covid/COVID-00033.jpg
train/Covid/COVID-00037.jpg test/Covid/COVID-00037.jpg
train/Covid/COVID-00037.jpg test/Covid/COVID-00033.jpg
train/Covid/COVID-00033.jpg test/Covid/COVID-00037.jpg
train/Covid/COVID-00033.jpg train/Covid/COVID-00037.jpg
test/Covid/COVID-00033.jpg test/Covid/COVID-00037.jpg
train/Covid/069.jpg test/Covid/radiopaedia-2019-novel-coronavirus-infected-pneumonia.jpg
train/Covid/090.jpeg test/Covid/0112.jpg
train/Covid/090.jpeg test/Covid/auntminnie-2020_01_31_20_24_2322_2020_01_31_x-ray_coronavirus_US.jpg
test/Covid/0112.jpg test/Covid/auntminnie-2020_01_31_20_24_2322_2020_01_31_x-ray_coronavirus_US.jpg
train/Covid/COVID-00022.jpg test/Covid/0100.jpeg
test/Covid/0100.jpeg test/Covid/COVID-00022.jpg
test/Covid/0106.jpeg test/Covid/auntminnie-c-2020_01_28_23_51_6665_2020_01_28_Vietnam_coronavirus.jpeg
test/Covid/0108.jpeg test/Covid/auntminnie-b-2020_01_28_23_51_6665_2020_01_28_Vietnam_coronavirus.jpeg
train/Normal/019.jpeg train/Normal/020.jpeg
train/Normal/093.jpeg train/Normal/094.jpeg
train/Viral Pneumonia/019.jpeg train/Viral Pneumonia/020.jpeg
train/Covid/057.jpeg train/Covid/078.jpeg
"""


def test_the_real_images(real_folder):
    result = audit(real_folder)
    expected = {tuple(re.findall(r"t(?:rain|est)/[^/]+/\S+", line)) for line in TWINS.strip().splitlines()}
    assert {(result.paths[p.a], result.paths[p.b]) for p in result.pairs} == expected
    assert all(result.labels[p.a] == result.labels[p.b] for p in result.pairs)
    labels = result.labels[result.in_test]
    kept = result.leak_free_test
    np.testing.assert_array_equal(kept, leak_free(result.test_groups, result.train_groups))
    assert np.bincount(labels[kept]).tolist() == [17, 20, 20]
    single = kept[first_of_each_group(result.test_groups[kept])]
    assert np.bincount(labels[single]).tolist() == [15, 20, 20]
    assert "8 images are coloured" in str(result)


def test_a_damaged_exif_block_is_named_and_stops_nothing(tmp_path):
    for i, name in enumerate(["train/a/x.png", "train/b/y.png", "test/a/z.png"]):
        (tmp_path / name).parent.mkdir(parents=True)
        image = Image.fromarray(np.random.default_rng(i).integers(0, 256, (64, 64), np.uint8))
        image.save(tmp_path / name, exif=b"Exif\0\0Ma\0*\0\0\0\x08")
    result = audit(tmp_path)
    assert result.skipped == [] and set(map(tuple, result.metadata.values())) == {("EXIF",)}
