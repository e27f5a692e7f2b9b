"""Public names of a package that are imported on first use: numba alone takes longer than everything else here."""

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Names of Keras's and PyTorch's, and what does the same here.
INSTEAD = {
    **dict.fromkeys(["MaxPooling2D", "MaxPool2d"], "MaxPool2D"),
    **dict.fromkeys(["AveragePooling2D", "AvgPool2D", "AvgPool2d"], "AveragePool2D"),
    **dict.fromkeys(["GlobalAveragePooling2D", "AdaptiveAvgPool2d"], "GlobalAveragePool2D"),
    **dict.fromkeys(["GlobalMaxPooling2D", "AdaptiveMaxPool2d"], "GlobalMaxPool2D"),
    **dict.fromkeys(["BatchNormalization", "BatchNorm2d", "BatchNorm1d"], "BatchNorm"),
    "LayerNormalization": "LayerNorm",
    **dict.fromkeys(["UpSampling2D", "Upsample"], "UpSample2D"),
    "Conv2d": "Conv2D(filters, kernel_size)",
    "ConvTranspose2d": "Conv2DTranspose(filters, kernel_size)",
    "Linear": "Dense(units)",
    "ZeroPad2d": "ZeroPadding2D",
    "Dropout2d": "Dropout",
    "Unflatten": "Reshape",
    **dict.fromkeys(["Add", "Concatenate"], "Residual or Parallel, or add and concatenate of tinycnn.keras.layers"),
    **dict.fromkeys(["Input", "InputLayer", "Activation", "Model", "add", "concatenate"], "it from tinycnn.keras"),
    **dict.fromkeys(["ModuleList", "Module"], "Sequential, and Layer for one of your own"),
    **dict.fromkeys(
        ["ModelCheckpoint", "ReduceLROnPlateau", "LearningRateScheduler", "LambdaCallback", "utils", "metrics"],
        "it from tinycnn.keras",
    ),
    **dict.fromkeys(
        ["RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast"],
        "it from tinycnn.keras.layers, or fit(augment=Augment(...))",
    ),
    **dict.fromkeys(["RandomBrightness", "RandomCrop", "GaussianNoise"], "fit(augment=tinycnn.Augment(...))"),
    **dict.fromkeys(["CrossEntropyLoss", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"], "CrossEntropy"),
    **dict.fromkeys(["BCEWithLogitsLoss", "BCELoss", "BinaryCrossentropy"], "BinaryCrossEntropy"),
    "MSELoss": "MeanSquaredError",
    **dict.fromkeys(["l1", "l2", "L1", "L2"], "it from tinycnn.regularizers, or weight_decay= of the optimizer"),
    **dict.fromkeys(["datasets", "image_dataset_from_directory", "ImageFolder"], "load_image_folder"),
    **dict.fromkeys(["AUC", "Precision", "Recall", "F1Score"], "tinycnn.scores, of what predict gives"),
    "applications": "tinycnn.models",
    "optim": "tinycnn.optimizers",
    "DataLoader": "fit itself, which makes batches, or any iterable of them",
}


def missing(package: str) -> Callable[[str], Any]:
    """A ``__getattr__`` for what `package` lacks, which says what to use instead.

    >>> missing("tinycnn")("BatchNorm2d")
    Traceback (most recent call last):
    ...
    ImportError: module 'tinycnn' has no BatchNorm2d: use BatchNorm
    """

    def refuse(name: str) -> Any:
        if name in INSTEAD:  # no AttributeError: ``from tinycnn import`` would put its own words in the place of these
            raise ImportError(f"module {package!r} has no {name}: use {INSTEAD[name]}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return refuse


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` (PEP 562) of `package`, as the imports of its ``__init__.pyi`` say.

    So one list serves the interpreter, editors and type checkers.

    >>> __getattr__, __dir__, __all__ = lazy_names("tinycnn.layers")
    >>> __getattr__("Dense").__name__, "Dense" in __all__
    ('Dense', True)
    """
    this = sys.modules[package]
    stub = ast.parse(Path(str(this.__file__)).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: str(node.module) for node in imports for alias in node.names}

    def lazy(name: str) -> Any:
        if name not in homes:
            missing(package)(name)
        if homes[name] == package:
            return importlib.import_module(f"{package}.{name}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(this, name, value)
        return value

    return lazy, lambda: sorted({*vars(this), *homes}), sorted(homes)
