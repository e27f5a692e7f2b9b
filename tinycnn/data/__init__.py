"""Images in: folders and zips, a synthetic set, augmentation, and an audit of what one was given."""

from tinycnn.data.augment import Augment, equalize
from tinycnn.data.dataset import BadFile, Dataset, Splits, balanced_class_weights
from tinycnn.data.decode import decode_image, load_image
from tinycnn.data.folder import load_image_folder
from tinycnn.data.phantoms import chest_phantoms

__all__ = [
    "Augment",
    "BadFile",
    "Dataset",
    "Splits",
    "balanced_class_weights",
    "chest_phantoms",
    "decode_image",
    "equalize",
    "load_image",
    "load_image_folder",
]
