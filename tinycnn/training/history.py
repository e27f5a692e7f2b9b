"""What each epoch gave."""

from tinycnn.notebook import html_table

SHOWN = 20  # epochs in a notebook: of more, the first and the last


class History(dict[str, list[float]]):
    """What each epoch gave: a list per metric, by name.

    ``loss`` and ``accuracy`` are means over the training images as they were met, dropout and all;
    ``val_loss`` and ``val_accuracy`` come from the model after the epoch; ``seconds`` is the epoch's time with its
    validation; ``learning_rate`` is the rate at its end.  A notebook shows it as a table.

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

    def _repr_html_(self) -> str:
        epochs = list(range(self.epochs))
        if self.epochs > SHOWN:
            epochs[SHOWN // 2 : -SHOWN // 2] = []
        rows = [[epoch + 1, *(f"{values[epoch]:.4g}" for values in self.values())] for epoch in epochs]
        if self.epochs > SHOWN:
            rows.insert(SHOWN // 2, ["…"] * (1 + len(self)))
        return html_table(["epoch", *self], rows, numbers=range(1 + len(self)))
