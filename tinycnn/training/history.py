"""What each epoch gave."""


class History(dict[str, list[float]]):
    """What each epoch gave: a list per metric, by name.

    ``loss`` and ``accuracy`` are means over the training images as they were met, dropout and all;
    ``val_loss`` and ``val_accuracy`` come from the model after the epoch; ``seconds`` is the epoch's time with its
    validation; ``learning_rate`` is the rate at its end.

    >>> history = History(loss=[0.9, 0.5])
    >>> history["loss"], history.epochs, history.history is history
    ([0.9, 0.5], 2, True)
    """

    @property
    def history(self) -> "History":
        """Itself, for code written for Keras."""
        return self

    @property
    def epochs(self) -> int:
        """Number of epochs recorded."""
        return len(self.get("loss", ()))
