import numpy as np
import pytest
from PIL import Image

from tinycnn.data.dataset import Dataset, Splits
from tinycnn.study.films.audit import audit
from tinycnn.study.films.contact_sheet import _packed, small_picture
from tinycnn.study.films.phantoms import chest_phantoms


def test_groups_stand_side_by_side_and_long_ones_are_broken():
    assert _packed([[1, 2], [3, 4, 5], [6, 7], [8, 9]]) == [[1, 2, None, 3, 4, 5, None, 6, 7], [8, 9]]
    assert _packed([list(range(12)), [20, 21]]) == [list(range(10)), [10, 11, None, 20, 21]]
    assert _packed([]) == []


def test_small_picture():
    image = np.zeros((200, 300, 3), np.uint8)
    image[:, 150:] = 200
    picture = small_picture(image)
    assert picture.shape == (96, 96) and picture[:, :47].max() == 0 and picture[:, 49:].min() == 200


@pytest.fixture
def result():
    train = chest_phantoms(n_train=3, n_test=0, size=48, mode="L").train
    test = Dataset(train.images[:1], train.labels[:1], train.class_names, ["test/größe-Имя-a very long name.png"])
    return audit(Splits(train, test))


def test_frames_show_the_split(result, tmp_path):
    result.contact_sheet(tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    pictures = 2 + 10  # one pair of copies, then all ten images in their classes' rows
    blue, red = ((sheet == colour).all(2).sum() for colour in ([40, 90, 200], [210, 60, 30]))
    outline = 96 * 96 - 92 * 92
    assert red == 2 * outline and blue == (pictures - 2) * outline


def test_no_copies_and_no_folder(tmp_path):
    train = chest_phantoms(n_train=2, n_test=0, size=48, mode="L").train
    audit(Splits(train, None)).contact_sheet(tmp_path / "new folder" / "sheet.png")
    assert [file.name for file in (tmp_path / "new folder").iterdir()] == ["sheet.png"]
