"""Images in: folders and zips, augmentation, splits, stripping of metadata."""

from tinycnn.data.augment import Augment, adjust_gamma, equalize
from tinycnn.data.dataset import BadFile, Dataset, Splits
from tinycnn.data.decode import decode_image, load_image
from tinycnn.data.folder import load_image_folder
from tinycnn.data.metadata import Stripped, strip_metadata
from tinycnn.data.splits import first_of_each_group, grouped_holdout, grouped_kfold, leak_free, merge_groups

__all__ = [
    "Augment",
    "BadFile",
    "Dataset",
    "Splits",
    "Stripped",
    "adjust_gamma",
    "decode_image",
    "equalize",
    "first_of_each_group",
    "grouped_holdout",
    "grouped_kfold",
    "leak_free",
    "load_image",
    "load_image_folder",
    "merge_groups",
    "strip_metadata",
]
