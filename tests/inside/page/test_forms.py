"""The forms of sums: large dense layers by their largest terms, and layers of somebody else's."""

import numpy as np
import pytest
from traced import SHAPE, every_layer, other_layers

from tinycnn.inside.page import forms
from tinycnn.inside.page.arrays import Arrays
from tinycnn.inside.page.write import write_inside_page
from tinycnn.inside.trace import trace
from tinycnn.layers import Conv2D, Conv2DTranspose, Dense, Layer
from tinycnn.layers.block import Block
from tinycnn.model import Sequential
from tinycnn.models import report_cnn


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


@pytest.mark.parametrize("network", [every_layer, other_layers])
def test_every_array_is_the_engines_and_every_sum_is_the_traces(network, browser, tmp_path):
    model, label = network(), 2
    image = np.random.default_rng(5).normal(size=SHAPE)
    seen = trace(model, image[None], [label])
    browser.open(write_inside_page(tmp_path / "page.html", model, image, label))
    keys = {"input": "input", "before": "pre_activation", "output": "output"}
    keys |= {"grad_output": "grad_output", "grad_before": "grad_pre_activation", "grad_input": "grad_input"}
    paths = browser.run("data.layers.map(layer => layer.path)")
    applied = {layer.activation for layer in seen.layers.values()}  # shown with the layer that applies it
    assert set(paths) == {path for path, layer in seen.layers.items() if layer not in applied}
    for path in paths:
        record = seen[path]
        got = browser.run(
            f"Object.fromEntries({list(keys)}.map(k => [k, (a => a && [...a])(arrayOf(layers.get('{path}'), k))]))"
        )
        for key, name in keys.items():
            array = getattr(record, name)
            assert (got[key] is None) == (array is None), (path, key)
            if array is not None:
                np.testing.assert_array_equal(got[key], array.ravel(), err_msg=f"{path} {key}")
        for function, shape in (("terms", record.pre_activation.shape), ("back", record.input.shape)):
            if function == "back" and record.grad_pre_activation is None:
                continue
            flat = np.random.default_rng(0).integers(0, np.prod(shape), 25).tolist()
            sums = browser.run(
                f"{flat}.map(i => {function}Of(layers.get('{path}'), i)).map(f => [f.total, f.bias, f.positions])"
            )
            for index, (total, bias, positions) in zip(flat, sums, strict=True):
                at = np.unravel_index(index, shape)
                known = getattr(seen, function)(path, tuple(map(int, at)))
                assert abs(total - known.total) < 1e-11, (path, function, at)
                assert function == "back" or abs(bias - known.bias) < 1e-11
                if isinstance(seen.layers[path], Block):  # what paths gave, each in its own place
                    if function == "terms":
                        given = [
                            record.input if name == "input" else seen[name].output for name in known.details["from"]
                        ]
                        assert positions == [
                            np.ravel_multi_index(at[1:], a.shape[1:]) for at, a in zip(known.inputs, given, strict=True)
                        ]
                    continue
                places = known.inputs if function == "terms" else known.outputs
                inner = record.input.shape if function == "terms" else record.pre_activation.shape
                within = ((places >= 0) & (places < inner)).all(axis=-1)
                places = np.ravel_multi_index(tuple(places[within].T), inner)
                assert sorted(position for position in positions if position >= 0) == sorted(places.tolist())
    assert browser.run("document.querySelector('#sum').innerText")
    for path in paths:
        for direction in ("at", "into"):
            browser.run(f"look(wanted('layer=' + encodeURIComponent('{path}') + '&{direction}=0'))")
            assert browser.run("document.querySelector('#number h2').innerText")
    for path, layer in seen.layers.items():
        if not isinstance(layer, (Conv2D, Conv2DTranspose)):
            continue
        grads = seen[path].grads["kernel"]
        for place in (0, grads.size // 2, grads.size - 1):
            total = browser.run(f"weightGradient(layers.get('{path}'), {place}).total")
            assert abs(total - grads.flat[place]) < 1e-11, path
        kernel, place = model.get_weights(), int(grads.size // 3)
        kernel[f"{path}/kernel"].flat[place] += 0.25
        other = network()
        other.set_weights(kernel)
        z = trace(other, image[None])[path].pre_activation[0]
        got = browser.run(
            f"(({{z, channel}}) => [channel, [...z]])(changedChannel(layers.get('{path}'), {place}, 0.25))"
        )
        np.testing.assert_allclose(got[1], z[..., got[0]].ravel(), atol=1e-12)
    assert browser.complaints == []


def test_large_dense_layers_are_there_by_their_largest_terms(browser, tmp_path):
    model = report_cnn()
    model.build((64, 64, 3))
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    seen = trace(model, image[None], [0])
    path = write_inside_page(tmp_path / "page.html", model, image, 0)
    assert path.stat().st_size < 3_000_000
    browser.open(path, "#layer=dense&at=5")
    assert browser.run("layers.get('dense').form.kernel") is None
    for function, index in (("terms", 5), ("back", 700)):
        known = getattr(seen, function)("dense", (0, index))
        found = browser.run(
            f"(f => [f.total, [...f.products], f.rest.count, f.rest.total])({function}Of(layers.get('dense'), {index}))"
        )
        total, products, count, rest = found
        order = np.argsort(-np.abs(known.products))
        np.testing.assert_allclose(products, known.products[order[: len(products)]], rtol=1e-6)
        assert count == known.products.size - len(products)
        assert abs(rest - known.products[order[len(products) :]].sum()) < 1e-6 and abs(total - known.total) < 1e-6
    assert "8,180 others" in browser.run("document.querySelector('#number').innerText")
    assert browser.complaints == []
