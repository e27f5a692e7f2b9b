"""Training with a film is training without it; what the page holds, also of runs that stop early or are resumed."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from toys import spots
from toys_training import Script, Stop, bits, network, run

from tinycnn.inside import film as film_module
from tinycnn.inside.film import Film
from tinycnn.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten
from tinycnn.model import Sequential
from tinycnn.training import Checkpoint, EarlyStopping, evaluate, fit


def film_of(path, **options):
    return Film(path, **{"images": 3, "slice_steps": 3, "slice_images": 5, **options})


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def convolutional():
    layers = [Conv2D(4, 3, activation="relu"), BatchNorm(), Dropout(0.3), Flatten(), Dense(3, activation="softmax")]
    return Sequential(layers, seed=1)


def test_training_is_the_same_to_the_bit_with_and_without(tmp_path):
    film = film_of(tmp_path / "film.html")
    assert bits(*run(callbacks=[film])) == bits(*run())
    assert len(film.frames) == 4
    films, models = [[], [film_of(tmp_path / "cnn.html")]], []
    for callbacks in films:
        models.append(convolutional())
        fit(models[-1], spots(20), epochs=2, batch_size=8, verbose=0, callbacks=callbacks)
    for key, value in models[0].get_weights().items():
        np.testing.assert_array_equal(models[1].get_weights()[key], value)
    for key, generator in models[0].generators().items():
        assert models[1].generators()[key].bit_generator.state == generator.bit_generator.state
    gif = Image.open(tmp_path / "cnn.gif")
    assert gif.n_frames == 2


def test_the_page_holds_frames_history_and_a_slice_whose_centre_is_evaluates(tmp_path):
    film = film_of(tmp_path / "film.html", slice_images=100)
    model, _, history = run(callbacks=[film])
    assert film.landscape.centre == evaluate(model, spots(10, seed=1))["loss"]
    data = data_of(tmp_path / "film.html")
    assert data["frames"] == film.frames and [frame["epoch"] for frame in film.frames] == [1, 2, 3, 4]
    assert data["history"] == {key: values for key, values in history.items() if key != "seconds"}
    assert data["slice"]["losses"][1][1] == film.landscape.centre
    assert (data["slice"]["images"], data["slice"]["of"], data["images"]) == (10, "validation", 3)
    assert all(frame["layers"]["affine"]["ratio"] > 0 for frame in film.frames)


def test_the_slice_is_around_the_weights_that_early_stopping_restores(tmp_path):
    film = film_of(tmp_path / "film.html", slice_images=100)
    stopping = EarlyStopping(patience=1, restore_best=True)
    model, _, history = run(epochs=9, callbacks=[Script([3, 1, 2, 3, 3]), film, stopping])
    assert history.epochs == len(film.frames) == 3
    assert film.landscape.centre == evaluate(model, spots(10, seed=1))["loss"]


def test_an_interrupted_run_leaves_what_was_seen_and_a_resumed_one_the_whole(tmp_path):
    whole = film_of(tmp_path / "whole.html")
    run(callbacks=[whole])
    part, checkpoint = film_of(tmp_path / "part.html"), tmp_path / "run.npz"
    run(checkpoint, callbacks=[part, Stop(2, 1)])
    assert [frame["epoch"] for frame in data_of(tmp_path / "part.html")["frames"]] == [1, 2]
    assert part.landscape is not None
    again = film_of(tmp_path / "part.html")
    run(checkpoint, callbacks=[again], resume=checkpoint, model=network(seed=9))
    assert again.frames == whole.frames and data_of(tmp_path / "part.html") == data_of(tmp_path / "whole.html")


def test_a_long_run_keeps_a_bounded_number_of_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(film_module, "FRAMES", 3)
    film = film_of(tmp_path / "film.html", slice_steps=0)
    run(epochs=9, callbacks=[film], batch_size=30)
    assert [frame["epoch"] for frame in film.frames] == [1, 5, 9] and film.landscape is None
    assert data_of(tmp_path / "film.html")["slice"] is None


def test_the_page_is_written_after_every_epoch_and_an_error_leaves_it(tmp_path):
    class Fail(Checkpoint):
        def on_epoch_end(self, epoch, logs):
            seen.append(len(data_of(tmp_path / "film.html")["frames"]))
            if epoch == 1:
                raise ZeroDivisionError

    seen = []
    with pytest.raises(ZeroDivisionError):
        run(callbacks=[film_of(tmp_path / "film.html"), Fail(tmp_path / "never.npz")])
    assert seen == [1, 2] and len(data_of(tmp_path / "film.html")["frames"]) == 2


def test_impossible_options_and_paths(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.html, got film"):
        Film("film")
    with pytest.raises(ValueError, match="slice_steps must be odd"):
        Film("film.html", slice_steps=4)
    with pytest.raises(ValueError, match="images must be a positive int"):
        Film("film.html", images=0)
    (tmp_path / "taken.html").mkdir()
    with pytest.raises(OSError, match="could not write .*taken.html"):
        run(callbacks=[film_of(tmp_path / "taken.html")])


def test_the_script_draws_without_an_error(browser, tmp_path):
    """The last epoch, every layer, and the slice's centre in words."""
    film = film_of(tmp_path / "film.html")
    fit(convolutional(), spots(20), epochs=2, batch_size=8, verbose=0, callbacks=[film])
    browser.open(film.path)
    assert browser.complaints == []
    text = browser.run("document.body.innerText")
    assert "epoch 2 of 2" in text and browser.run("document.querySelectorAll('canvas').length") == 4
    assert f"Loss {film.landscape.centre:.6f} at the weights themselves." in text
    headings = browser.run("[...document.querySelectorAll('h3')].map(heading => heading.textContent)")
    assert headings == list(film.frames[0]["layers"])


def test_batches_of_an_iterable_are_refused_before_they_are_trained_on(tmp_path):
    model, (x, y) = network(), spots(8)
    before = model.get_weights()
    with pytest.raises(ValueError, match="Film: batches from an iterable are gone once they were seen"):
        model.fit(iter([(x, y)]), epochs=1, steps_per_epoch=1, verbose=0, callbacks=[Film(tmp_path / "film.html")])
    assert all((before[key] == array).all() for key, array in model.get_weights().items())
