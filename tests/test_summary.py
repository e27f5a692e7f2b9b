"""The summary: Keras's letters, at any width of the terminal."""

import pytest
from toys import Affine

from tinycnn.model import Sequential


def test_summary_is_what_keras_prints(monkeypatch):
    keras = pytest.importorskip("keras")
    from tinycnn.layers import conv, dense, dropout, norm, pool, reshape

    keras.backend.clear_session()  # names count from the start again
    kl = keras.layers
    theirs = keras.Sequential(
        [
            keras.Input((64, 48, 3)),
            *(kl.Conv2D(8, 3, padding="same"), kl.MaxPooling2D(), kl.BatchNormalization(), kl.Conv2D(16, 3)),
            *(kl.MaxPooling2D(), kl.Flatten(), kl.Dense(900), kl.Dropout(0.5), kl.Dense(3)),
            kl.Dense(3, name="a_very_long_name_for_a_layer_that_needs_an_ellipsis"),
        ],
        name="sequential",
    )
    ours = Sequential(
        [
            *(conv.Conv2D(8, 3, padding="same"), pool.MaxPool2D(), norm.BatchNorm(), conv.Conv2D(16, 3)),
            *(pool.MaxPool2D(), reshape.Flatten(), dense.Dense(900), dropout.Dropout(0.5), dense.Dense(3)),
            dense.Dense(3, name="a_very_long_name_for_a_layer_that_needs_an_ellipsis"),
        ]
    )
    ours.build((64, 48, 3))
    for index in (0, 6):
        theirs.layers[index].trainable = False
        ours.layers[index].trainable = False
    for columns in (60, 80, 81, 87, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        texts = [], []
        theirs.summary(print_fn=lambda text, lines=texts[0], **_: lines.append(text))
        ours.summary(print_fn=texts[1].append)
        assert texts[1] == texts[0]


def test_summary_wraps_and_counts(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    model = Sequential([Affine(1000), Affine(3, name="decision")], name="tiny")
    model.build((32, 32, 1))
    model.layers[0].trainable = False
    printed = []
    model.summary(print_fn=printed.append)
    assert printed == [
        'Model: "tiny"\n'
        "┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓\n"
        "┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃\n"
        "┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩\n"
        "│ affine (Affine)                 │ (None, 1000)           │     1,025,000 │\n"
        "├─────────────────────────────────┼────────────────────────┼───────────────┤\n"
        "│ decision (Affine)               │ (None, 3)              │         3,003 │\n"
        "└─────────────────────────────────┴────────────────────────┴───────────────┘\n"
        " Total params: 1,028,003 (3.92 MB)\n"
        " Trainable params: 3,003 (11.73 KB)\n"
        " Non-trainable params: 1,025,000 (3.91 MB)\n"
    ]
    monkeypatch.setenv("COLUMNS", "1")  # too narrow a terminal is no reason to end a program
    model.summary(print_fn=printed.append)
    assert printed[1].count("\n") > printed[0].count("\n") and " Total params: 1,028,003 (3.92 MB)\n" in printed[1]
    with pytest.raises(ValueError, match="width of at least"):
        model.summary(line_length=9)
