"""The one metric of training, accuracy, under Keras's names.  Others: `tinycnn.scores`, of what `predict` gives."""

from dataclasses import dataclass

from tinycnn.lazy import missing

__getattr__ = missing(__name__)


@dataclass(frozen=True)
class Accuracy:
    """The share of right answers, called `name` in the history."""

    name: str = "accuracy"


BinaryAccuracy = CategoricalAccuracy = SparseCategoricalAccuracy = Accuracy

NAMES = ("accuracy", "acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy")


def name_of(metric: str | Accuracy) -> str:
    """What the history calls a metric given to ``compile``.

    >>> name_of("acc"), name_of(BinaryAccuracy(name="right"))
    ('acc', 'right')

    Raises
    ------
    ValueError
        If it is no accuracy.
    """
    if isinstance(metric, Accuracy):
        return metric.name
    if metric not in NAMES:
        raise ValueError(
            f"metrics={metric!r}: training counts accuracy alone ({', '.join(NAMES)}); tinycnn.scores has others, such "
            "as roc_auc and f1_score, for what predict gives"
        )
    return metric
