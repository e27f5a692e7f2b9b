"""How good predictions are: metrics, intervals, ROC curves, calibration; `plots` draws them."""

from tinycnn.scores.calibration import (
    ReliabilityCurve,
    apply_temperature,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    reliability_curve,
)
from tinycnn.scores.intervals import (
    bootstrap_interval,
    effective_size,
    report_by_group,
    sensitivity_specificity,
    wilson_interval,
)
from tinycnn.scores.metrics import (
    accuracy,
    balanced_accuracy,
    classification_report,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)
from tinycnn.scores.roc import RocCurve, roc_auc, roc_curve, roc_curves

__all__ = [
    "ReliabilityCurve",
    "RocCurve",
    "accuracy",
    "apply_temperature",
    "balanced_accuracy",
    "bootstrap_interval",
    "brier_score",
    "classification_report",
    "confusion_matrix",
    "effective_size",
    "expected_calibration_error",
    "f1_score",
    "fit_temperature",
    "log_loss",
    "precision_recall_fscore_support",
    "reliability_curve",
    "report_by_group",
    "roc_auc",
    "roc_curve",
    "roc_curves",
    "sensitivity_specificity",
    "wilson_interval",
]
