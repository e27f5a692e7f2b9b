"""Named architectures."""

from tinycnn.models.report_cnn import report_cnn

__all__ = ["report_cnn"]
