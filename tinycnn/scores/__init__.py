"""How good predictions are: metrics, intervals, ROC curves, calibration; `plots` draws them."""

from tinycnn.scores.calibration import ReliabilityCurve as ReliabilityCurve
from tinycnn.scores.calibration import apply_temperature as apply_temperature
from tinycnn.scores.calibration import brier_score as brier_score
from tinycnn.scores.calibration import expected_calibration_error as expected_calibration_error
from tinycnn.scores.calibration import fit_temperature as fit_temperature
from tinycnn.scores.calibration import log_loss as log_loss
from tinycnn.scores.calibration import reliability_curve as reliability_curve
from tinycnn.scores.intervals import bootstrap_interval as bootstrap_interval
from tinycnn.scores.intervals import effective_size as effective_size
from tinycnn.scores.intervals import report_by_group as report_by_group
from tinycnn.scores.intervals import sensitivity_specificity as sensitivity_specificity
from tinycnn.scores.intervals import wilson_interval as wilson_interval
from tinycnn.scores.metrics import accuracy as accuracy
from tinycnn.scores.metrics import balanced_accuracy as balanced_accuracy
from tinycnn.scores.metrics import classification_report as classification_report
from tinycnn.scores.metrics import confusion_matrix as confusion_matrix
from tinycnn.scores.metrics import f1_score as f1_score
from tinycnn.scores.metrics import precision_recall_fscore_support as precision_recall_fscore_support
from tinycnn.scores.roc import RocCurve as RocCurve
from tinycnn.scores.roc import roc_auc as roc_auc
from tinycnn.scores.roc import roc_curve as roc_curve
from tinycnn.scores.roc import roc_curves as roc_curves
