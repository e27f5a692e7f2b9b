"""tinycnn: a convolutional network you can read, in NumPy and numba, fast enough to keep.

Everything public is importable from here: ``tinycnn.Conv2D``, ``tinycnn.Sequential``, ``tinycnn.gradcheck``, ...
Where to start reading: `tinycnn.reference` (every kernel as plain loops), then `tinycnn.layers.conv`.

For research and teaching only, never for diagnosis.
"""

import importlib

# Imported at once because a function and its module share the name: importing the module later would hide the function.
from tinycnn.gradcheck import gradcheck as gradcheck

__version__ = "0.1.0"

# Everything else is imported on first use: numba alone takes longer than reading this file's table.
_HOME = {
    name: module
    for module, names in {
        "calibration": "ReliabilityCurve apply_temperature brier_score expected_calibration_error fit_temperature "
        "reliability_curve",
        "callbacks": "CSVLogger Callback Checkpoint EarlyStopping",
        "data": "Augment Dataset Splits balanced_class_weights chest_phantoms equalize load_image_folder "
        "strip_metadata",
        "ensemble": "Ensemble train_members",
        "explain": "feature_maps grad_cam mass_inside randomization_check",
        "gradcheck": "GradcheckResult GradientError",
        "html_report": "write_html_report",
        "kernels.conv": "set_winograd",
        "kernels.runtime": "get_num_threads set_num_threads",
        "layers.activation": "LeakyReLU ReLU Sigmoid Softmax Tanh",
        "layers.base": "Layer",
        "layers.conv": "Conv2D Conv2DTranspose",
        "layers.dense": "Dense",
        "layers.dropout": "Dropout",
        "layers.norm": "BatchNorm",
        "layers.pool": "AveragePool2D GlobalAveragePool2D MaxPool2D",
        "layers.reshape": "Flatten Reshape",
        "layers.residual": "Residual",
        "layers.upsample": "UpSample2D",
        "lung_field": "lung_field_mask",
        "losses": "BinaryCrossEntropy CrossEntropy MeanSquaredError",
        "metrics": "accuracy balanced_accuracy classification_report confusion_matrix f1_score "
        "precision_recall_fscore_support",
        "model": "Sequential",
        "model_card": "write_model_card",
        "models": "add_noise deep_encoder denoise denoising_autoencoder film_cnn fit_autoencoder report_cnn "
        "small_resnet small_vgg",
        "optimizers": "Adam SGD",
        "plots": "plot_confusion_matrix plot_history plot_image_rows plot_reliability plot_roc plot_sample_grid",
        "plots_overlay": "plot_overlays",
        "roc": "RocCurve roc_auc roc_curve roc_curves",
        "schedules": "CosineDecay ExponentialDecay PiecewiseConstantDecay",
        "training": "History evaluate fit predict",
        "trust": "bootstrap_interval report_by_group sensitivity_specificity wilson_interval",
    }.items()
    for name in names.split()
}
_MODULES = ("data", "initializers", "kernels", "layers", "models", "plots", "reference")

__all__ = sorted([*_HOME, *_MODULES, "gradcheck"])


def __getattr__(name):
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module 'tinycnn' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
