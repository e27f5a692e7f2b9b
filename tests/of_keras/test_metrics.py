import pytest

from tinycnn.keras import metrics


def test_accuracy_alone_is_counted():
    assert metrics.name_of(metrics.SparseCategoricalAccuracy()) == metrics.name_of("accuracy") == "accuracy"
    with pytest.raises(ValueError, match="tinycnn.scores has others"):
        metrics.name_of("auc")
    with pytest.raises(ImportError, match="module 'tinycnn.keras.metrics' has no AUC: use tinycnn.scores"):
        from tinycnn.keras.metrics import AUC  # noqa: F401
