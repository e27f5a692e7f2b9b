from tinycnn.keras import losses
from tinycnn.losses import BinaryCrossEntropy, CrossEntropy


def test_names_make_losses_on_logits():
    assert isinstance(losses.SparseCategoricalCrossentropy(from_logits=True), CrossEntropy)
    assert losses.CategoricalCrossentropy(label_smoothing=0.1).label_smoothing == 0.1
    assert isinstance(losses.BinaryCrossentropy(), BinaryCrossEntropy)
