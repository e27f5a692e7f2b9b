"""History: a dict with two names of Keras's."""

from tinycnn.training import History


def test_history_is_a_dict_that_knows_its_epochs():
    history = History(loss=[3.0, 2.0], val_loss=[4.0, 3.0])
    assert history.epochs == 2 and history.history["val_loss"] == [4.0, 3.0]
    assert History().epochs == 0
