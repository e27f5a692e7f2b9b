import numpy as np
import pytest

from tinycnn.layers.steps import plan
from tinycnn.losses import CrossEntropy
from tinycnn.models import report_cnn
from tinycnn.optimizers import Adam

SUMMARY = """\
Model: "report_cnn"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ conv2d (Conv2D)                 │ (None, 256, 256, 32)   │           896 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ max_pooling2d (MaxPooling2D)    │ (None, 128, 128, 32)   │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ conv2d_1 (Conv2D)               │ (None, 128, 128, 64)   │        18,496 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ max_pooling2d_1 (MaxPooling2D)  │ (None, 64, 64, 64)     │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ conv2d_2 (Conv2D)               │ (None, 64, 64, 128)    │        73,856 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ max_pooling2d_2 (MaxPooling2D)  │ (None, 32, 32, 128)    │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dropout (Dropout)               │ (None, 32, 32, 128)    │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ flatten (Flatten)               │ (None, 131072)         │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense (Dense)                   │ (None, 128)            │    16,777,344 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dropout_1 (Dropout)             │ (None, 128)            │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense_1 (Dense)                 │ (None, 128)            │        16,512 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense_2 (Dense)                 │ (None, 3)              │           387 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 16,887,491 (64.42 MB)
 Trainable params: 16,887,491 (64.42 MB)
 Non-trainable params: 0 (0.00 B)
"""


def test_parameters_and_summary():
    model = report_cnn()
    assert model.build((256, 256, 3)) == (3,)
    assert model.count_params == 16_887_491
    printed = []
    model.summary(print_fn=printed.append, line_length=76)
    assert printed == [SUMMARY]


@pytest.mark.parametrize("kernels", ["fast"], indirect=True)
def test_every_convolution_runs_with_its_pool():
    model = report_cnn()
    model.build((32, 48, 3))
    assert [len(step.layers) for step in plan(model.layers)[0][:4]] == [2, 2, 2, 1]


def test_classes_and_seed():
    model, other = report_cnn(classes=5, seed=1), report_cnn(classes=5, seed=2)
    x = np.random.default_rng(0).random((2, 16, 24, 3), np.float32)
    y = model.forward(x)
    assert y.shape == (2, 5) and np.allclose(y.sum(axis=1), 1)
    assert not np.array_equal(y, other.forward(x))
    assert np.array_equal(y, report_cnn(classes=5, seed=1).forward(x))
    with pytest.raises(ValueError, match="needs at least 2 classes, got 1"):
        report_cnn(classes=1)


def test_every_parameter_moves_in_one_step():
    """Accuracy cannot tell that a layer never learns: the dense layers make up for a frozen convolution."""
    model, loss = report_cnn(seed=3), CrossEntropy()
    x = np.random.default_rng(0).random((4, 32, 24, 3), np.float32)
    logits = model.forward(x, training=True, logits=True)
    before = model.get_weights()
    loss.forward(logits, [0, 1, 2, 1])
    model.backward(loss.backward(), input_grad=False)
    Adam().step(model.parameters())
    after = model.get_weights()
    assert len(after) == 12
    for key in after:
        assert (after[key] != before[key]).mean() > 0.2, key
