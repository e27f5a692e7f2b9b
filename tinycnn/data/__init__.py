"""Images in: folders and zips, augmentation, splits, stripping of metadata."""

from tinycnn.data.augment import Augment as Augment
from tinycnn.data.augment import adjust_gamma as adjust_gamma
from tinycnn.data.augment import equalize as equalize
from tinycnn.data.dataset import BadFile as BadFile
from tinycnn.data.dataset import Dataset as Dataset
from tinycnn.data.dataset import Splits as Splits
from tinycnn.data.decode import decode_image as decode_image
from tinycnn.data.decode import load_image as load_image
from tinycnn.data.folder import load_image_folder as load_image_folder
from tinycnn.data.metadata import Stripped as Stripped
from tinycnn.data.metadata import strip_metadata as strip_metadata
from tinycnn.data.splits import first_of_each_group as first_of_each_group
from tinycnn.data.splits import grouped_holdout as grouped_holdout
from tinycnn.data.splits import grouped_kfold as grouped_kfold
from tinycnn.data.splits import leak_free as leak_free
from tinycnn.data.splits import merge_groups as merge_groups
