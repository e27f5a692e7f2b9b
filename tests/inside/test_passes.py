"""The picture of a pass: what is drawn on which scale, formats, errors, and a model left alone."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import tinycnn
from tinycnn.inside.passes import SIGNED, plot_pass
from tinycnn.inside.trace import trace
from tinycnn.layers.activation import ReLU
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.pool import MaxPool2D
from tinycnn.layers.reshape import Flatten
from tinycnn.model import Sequential
from tinycnn.models import denoising_autoencoder, film_cnn

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    model = Sequential(
        [
            Conv2D(6, 3, padding="same", activation="relu"),
            MaxPool2D(2),
            Flatten(),
            Dense(5, activation="relu"),
            Dense(3, activation="softmax"),
        ]
    )
    model.build(IMAGE.shape)
    return model


def drawn(figure):
    """Arrays of the pictures, in the order of drawing, without the legend's two."""
    return [image for axes in figure.axes for image in axes.images][:-2]


def texts(figure):
    return [text.get_text() for part in (figure, *figure.axes) for text in part.texts]


def test_it_draws_the_numbers_of_the_trace_on_symmetric_scales(model):
    seen, images = trace(model, IMAGE[None], [1]), drawn(plot_pass(model, IMAGE, label=1))
    assert len(images) == 2 * (1 + 3 + 3 + 1)
    forward, backward = images[:8], images[8:]
    np.testing.assert_array_equal(forward[0].get_array(), IMAGE)
    for picture, array in (
        *zip(forward[1:7], 3 * [seen["conv2d"].pre_activation] + 3 * [seen["max_pooling2d"].output], strict=True),
        *zip(
            backward[1:7],
            3 * [seen["conv2d"].grad_pre_activation] + 3 * [seen["max_pooling2d"].grad_output],
            strict=True,
        ),
    ):
        values = np.asarray(picture.get_array())
        assert any(np.array_equal(values, array[0, ..., channel]) for channel in range(6))
        end = np.quantile(np.abs(values[values != 0]), 0.99)
        signed = picture in backward or (values < 0).any()
        assert np.allclose(picture.get_clim(), (-end if signed else 0, end))
        assert picture.get_cmap().name == ("signed" if signed else "gray")
    np.testing.assert_array_equal(np.ravel(forward[7].get_array()), seen["dense"].pre_activation[0])
    np.testing.assert_array_equal(backward[0].get_array(), seen["conv2d"].grad_input[0].sum(axis=-1))


def test_bars_show_probabilities_and_where_the_gradient_starts(model):
    words = texts(plot_pass(model, IMAGE, label=1, class_names=["cat", "dog", "$cow$"]))
    probabilities = model.predict(IMAGE[None])[0]
    assert "dog (true)" in words and "cat" in words and r"\$cow\$" in words
    for k, p in enumerate(probabilities):
        assert f"{100 * p:.0f} %" in words
        assert f"{p - (k == 1):+.2f}".replace("-", "−") in words


def test_without_a_label_there_is_no_gradient(model):
    figure = plot_pass(model, IMAGE)
    assert len(drawn(figure)) == 8 and not any("backward" in text for text in texts(figure))
    assert plot_pass(model, IMAGE, label=0).get_figheight() > 1.8 * figure.get_figheight() - 0.7


def test_many_layers_take_several_lines_and_an_output_that_is_an_image_no_bars():
    deep = film_cnn(filters=(4, 4, 4))
    deep.build((32, 32, 3))
    figure = plot_pass(deep, np.zeros((32, 32, 3), np.uint8), label=0)
    heads = [text for text in texts(figure) if text.startswith("forward")]
    assert len(heads) == 2 and figure.get_figwidth() == 10
    for axes in figure.axes:
        box = axes.get_position()
        assert -1e-9 <= box.x0 <= box.x1 <= 1 + 1e-9 and -1e-9 <= box.y0 <= box.y1 <= 1
    images = denoising_autoencoder()
    images.build((16, 20, 3))
    assert "how likely each class is" not in texts(plot_pass(images, IMAGE))
    wide = Sequential([Conv2D(2, 3), ReLU(), Flatten(), Dense(30, activation="softmax")])
    wide.build(IMAGE.shape)
    names = [text for text in texts(plot_pass(wide, IMAGE, label=29)) if text.startswith("class")]
    assert (
        len(names) in (12, 13, 14) and names.count("class 29 (true)") == 2
    )  # each time the six largest and the true one


def test_the_format_is_that_of_the_ending(model, tmp_path):
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        path = tmp_path / "folder" / f"pass.{ending}"
        assert isinstance(plot_pass(model, IMAGE, path), Figure)
        assert path.read_bytes().startswith(start)
    assert len(list((tmp_path / "folder").iterdir())) == 3


def test_names_come_from_the_models_metadata(model):
    model.metadata["class_names"] = ["a", "b", "c"]
    try:
        assert "b" in texts(plot_pass(model, IMAGE))
    finally:
        model.metadata.clear()
    assert "class 2" in texts(plot_pass(model, IMAGE))


def test_the_colours_survive_a_grey_printer_and_colour_blind_eyes():
    colours = SIGNED(np.linspace(0, 1, 101))[:, :3]
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all() and lightness[-1] - lightness[0] > 0.7
    # Red and green, which the common kinds confuse, never tell two values apart: blue against yellow does.
    assert colours[0, 2] > colours[0, 0] and colours[80, 0] > colours[80, 2] + 0.3


def test_errors_say_what_to_do(model):
    with pytest.raises(ValueError, match=r"one image of shape \(height, width, channels\), got shape \(1, 16, 20, 3\)"):
        plot_pass(model, IMAGE[None])
    with pytest.raises(ValueError, match="2 class names were given, but model 'sequential' has 3 outputs"):
        plot_pass(model, IMAGE, class_names=["a", "b"])
    with pytest.raises(ValueError, match="labels"):
        plot_pass(model, IMAGE, label=3)
    with pytest.raises(ValueError, match="must be built"):
        plot_pass(Sequential([Dense(2)]), IMAGE)
    assert tinycnn.plot_pass is plot_pass
