"""Zipped image folders with bits turned over, and with entries that lead elsewhere."""

import io
import zipfile

import numpy as np
from campaign_tools import bits_turned
from PIL import Image

from tinycnn.data.folder import load_image_folder

COUNT = 500
NAMES = ["train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png"]
ODD = [
    "../up.png",
    "/root.png",
    "train/a/../../x.png",
    "train//a.png",
    "C:\\x.png",
    "train/a/\x00.png",
    "a" * 300 + ".png",
]
ODD += ["train/" * 200 + "1.png", "train/a/1.png", "train", "train/c/", "."]


def prepare(folder):
    images = []
    for i in range(4):
        file = io.BytesIO()
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (9, 9), np.uint8)).save(file, "PNG")
        images.append(file.getvalue())
    return folder, images


def attack(subject, rng):
    folder, images = subject
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED][rng.integers(2)]) as archive:
        for name, image in zip(NAMES, images, strict=True):
            archive.writestr(name, image)
        if rng.integers(3) == 0:
            archive.writestr(ODD[rng.integers(len(ODD))], images[0])
    data = bits_turned(file.getvalue(), rng, most=4) if rng.integers(4) else file.getvalue()
    (folder / "films.zip").write_bytes(data)
    try:
        splits = load_image_folder(folder / "films.zip", size=4, on_error=["raise", "skip"][rng.integers(2)])
        assert splits.train.images.shape[1:] == (4, 4, 3)
    except (ValueError, FileNotFoundError) as error:
        assert 5 < len(str(error)) < 3000
