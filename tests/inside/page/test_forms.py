"""The forms of sums: large dense layers by their largest terms, and layers of somebody else's."""

import numpy as np
import pytest

from tinycnn.inside.page import forms
from tinycnn.inside.page.arrays import Arrays
from tinycnn.inside.trace import trace
from tinycnn.layers import Dense, Layer
from tinycnn.model import Sequential


def test_the_largest_terms_of_a_dense_layer(monkeypatch):
    monkeypatch.setattr(forms, "WHOLE", 10)
    model = Sequential([Dense(5, activation="relu"), Dense(2)])
    model.build((40,))
    seen = trace(model, np.random.default_rng(0).normal(size=(1, 40)).astype(np.float32), [1])
    arrays, added = Arrays(), []
    monkeypatch.setattr(arrays, "add", lambda array, **_: added.append(array) or len(added) - 1)
    form = forms.form_of(seen.layers["dense"], seen["dense"], arrays)
    assert "kernel" not in form
    for key, count, rows in (("forward", 16, 5), ("backward", 2, 40)):
        places, weights = (added[form[key][name]] for name in ("places", "weights"))
        assert form[key]["count"] == count and places.shape == weights.shape == (rows, count)
        for row in range(rows):
            whole = seen.terms("dense", (0, row)) if key == "forward" else seen.back("dense", (0, row))
            order = np.sort(np.abs(whole.products))[::-1]
            np.testing.assert_allclose(np.abs(whole.products[places[row]]), order[:count], rtol=1e-6)
            np.testing.assert_array_equal(weights[row], whole.weights[places[row]])


def test_a_kind_of_layer_that_nobody_knows():
    class Squared(Layer):
        pass

    try:
        assert forms.form_of(Squared(), None, Arrays()) == {"type": "unknown"}
    finally:
        Layer.registry.pop("Squared")


@pytest.mark.parametrize("size", [16, 17])
def test_small_dense_layers_are_whole(size, monkeypatch):
    monkeypatch.setattr(forms, "WHOLE", 32)
    model = Sequential([Dense(2)])
    model.build((size,))
    seen = trace(model, np.ones((1, size), np.float32))
    assert ("kernel" in forms.form_of(seen.layers["dense"], seen["dense"], Arrays())) == (size == 16)
