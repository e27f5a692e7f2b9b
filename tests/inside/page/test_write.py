"""The page in a browser: what it shows is what NumPy gives, by clicks and keys, and nothing leaves it."""

import re

import numpy as np
import pytest

from tinycnn.inside.page.write import write_inside_page
from tinycnn.inside.trace import trace
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPool2D, Parallel, Residual, Softmax
from tinycnn.model import Sequential

NAMES = ("Covid", "Normal", "<b>Viral</b></script><script>alert(1)</script>")
LABEL, NAME = 1, "network_with_a_name_of_one_long_word"


def network():
    """A convolution, a pool and two dense layers, with weights that nobody trained."""
    layers = [Conv2D(4, 3, padding="same", activation="relu"), MaxPool2D(2), Flatten(), Dense(6, activation="relu")]
    model = Sequential([*layers, Dropout(0.5), Dense(3, activation="softmax")], name=NAME, seed=1)
    model.build((10, 8, 2))
    rng = np.random.default_rng(2)
    model.set_weights({key: rng.normal(0.05, 0.3, value.shape) for key, value in model.get_weights().items()})
    return model


def film():
    return np.random.default_rng(3).integers(0, 256, (10, 8, 2), dtype=np.uint8)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of `network` and `film`."""
    return write_inside_page(tmp_path_factory.mktemp("page") / "page.html", network(), film(), LABEL, NAMES)


@pytest.fixture
def tab(page, browser):
    """The browser with that page; what it complains of and asks for is looked at after every test."""
    browser.open(page)
    yield browser
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]


def by_numpy():
    """Every array of the pass, from weights and image, by NumPy alone."""
    weights = {key: value.astype(np.float64) for key, value in network().get_weights().items()}
    x = film() / 255
    kernel = weights["conv2d/kernel"]
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))  # (row, column, channel, i, j)
    z = np.einsum("rcdij,ijdf->rcf", patches, kernel) + weights["conv2d/bias"]
    y = np.maximum(z, 0)
    windows = y.reshape(5, 2, 4, 2, 4)
    pooled = windows.max(axis=(1, 3))
    z1 = pooled.ravel() @ weights["dense/kernel"] + weights["dense/bias"]
    z2 = np.maximum(z1, 0) @ weights["dense_1/kernel"] + weights["dense_1/bias"]
    shares = np.exp(z2) / np.exp(z2).sum()
    g2 = shares - np.eye(3)[LABEL]
    g1 = weights["dense_1/kernel"] @ g2 * (z1 > 0)
    grad_pooled = (weights["dense/kernel"] @ g1).reshape(pooled.shape)
    grad_y = np.where(windows == pooled[:, None, :, None], grad_pooled[:, None, :, None], 0).reshape(y.shape)
    g = grad_y * (z > 0)
    grad_x = np.zeros(padded.shape)
    for i, j in np.ndindex(3, 3):
        grad_x[i : i + 10, j : j + 8] += g @ kernel[i, j].T
    grad_kernel = np.einsum("rcdij,rcf->ijdf", patches, g)
    found = dict(z=z, y=y, pooled=pooled, z1=z1, z2=z2, shares=shares, g2=g2, g1=g1, grad_y=grad_y, g=g)
    found |= dict(grad_x=grad_x[1:-1, 1:-1], grad_kernel=grad_kernel, patches=patches, grad_pooled=grad_pooled)
    return found | dict(x=x, weights=weights, loss=-np.log(shares[LABEL]))


def shown(tab, selector):
    """The exact number in an element."""
    return float(tab.run(f"document.querySelector({selector!r}).querySelector('data').value"))


def read(tab, selector):
    """Every number in the text of the elements, as a reader sees it."""
    text = tab.run(f"[...document.querySelectorAll({selector!r})].map(e => e.innerText).join(' ; ')")
    return [float(n) for n in re.findall(r"-?\d[\d,]*\.?\d*(?:e-?\d+)?", text.replace("−", "-").replace(",", ""))]


def close(value, expected):
    return value == pytest.approx(expected, rel=2e-6, abs=2e-7)


def test_nothing_but_its_own_script_may_run(page):
    text = page.read_text()
    policy = re.search('Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert re.fullmatch(
        "default-src 'none'; script-src 'sha256-[^ ']+'; style-src 'sha256-[^ ']+'; base-uri 'none'; "
        "form-action 'none'",
        policy,
    )
    assert not re.search(r"""(src|href)=["']|url\(|@import""", text)
    assert "<b>Viral" not in text and "alert(1)</script>" not in text


def test_an_output_is_clicked_and_its_sum_stands_there(tab):
    expected = by_numpy()
    tab.run("look({layer: 'conv2d', back: false, at: 0, view: 'before'})")
    tab.click("#own", (5 + 0.5) / 8, (3 + 0.5) / 10)  # row 3, column 5 of channel 0
    at = (3, 5, 0)
    assert tab.run("address()") == "layer=conv2d&at=3,5,0"
    assert close(shown(tab, "#sum"), expected["z"][at])
    assert abs(shown(tab, "#sum") - trace(network(), film()[None]).terms("conv2d", (0, *at)).total) < 1e-12
    assert close(shown(tab, "#after"), expected["y"][at])
    assert close(shown(tab, "#engine"), expected["z"][at])
    assert close(read(tab, "#sum")[0], expected["z"][at]), "to be read as well"
    products = expected["patches"][at[:2]].transpose(1, 2, 0) * expected["weights"]["conv2d/kernel"][..., 0]
    strongest = np.abs(products.sum(axis=(0, 1))).argmax()
    grids = [
        tab.run(f"[...document.querySelectorAll('.grid:nth-of-type({n}) td')].map(td => td.title.replace('−', '-'))")
        for n in (1, 2, 3)
    ]
    np.testing.assert_allclose(read(tab, ".grid:nth-of-type(3) td"), list(map(float, grids[2])), rtol=6e-2)
    patch = expected["patches"][at[:2]][strongest]
    kernel = expected["weights"]["conv2d/kernel"][..., strongest, 0]
    for cells, numbers in zip(grids, (patch, kernel, patch * kernel), strict=True):
        np.testing.assert_allclose(list(map(float, cells)), numbers.ravel(), rtol=1e-6)
    parts = read(tab, "#number .parts .figure")
    np.testing.assert_allclose(sorted(parts), sorted(products.sum(axis=(0, 1))), rtol=6e-4)
    assert close(shown(tab, ".grids .sum"), products[..., strongest].sum())
    # The same as a row times a column.
    assert close(shown(tab, "#columns strong"), expected["z"][at])
    assert close(tab.run("Number(document.querySelector('#columns figcaption data').value)"), products.sum())
    row = tab.run("[...termsOf(layers.get('conv2d'), state.at).values]")
    np.testing.assert_allclose(row, expected["patches"][at[:2]].transpose(1, 2, 0).ravel(), rtol=1e-6)
    assert "This output is row 29 times column 0" in tab.run("document.querySelector('#columns').innerText")


def test_keys_step_the_window(tab):
    tab.run("look({layer: 'conv2d', back: false, at: 0, view: 'before'})")
    tab.run("document.querySelector('#own').focus()")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft", "ArrowLeft", "]", "]", "["):
        tab.press(key)
    assert tab.run("address()") == "layer=conv2d&at=1,0,1", "and not over the edge"
    assert tab.run("document.activeElement.id") == "own"
    assert tab.run("document.querySelector('#said').innerText").startswith("conv2d, row 1, column 0, channel 1: sum ")
    assert close(shown(tab, "#sum"), by_numpy()["z"][1, 0, 1])
    # A key held down: Chromium warns in the console where an address is written more than 200 times in 10 s.
    tab.run("for (let i = 0; i < 250; i++) look({at: i})")
    assert tab.run("new Promise(done => setTimeout(() => done(location.hash), 300))") == "#layer=conv2d&at=7,6,1"


def test_channels_answer_to_the_keyboard(tab):
    tab.run("look({layer: 'conv2d', back: false, at: (3 * 8 + 5) * 4 + 1, view: 'before'})")
    stops = "[...document.querySelectorAll('#channels button')].map(button => button.tabIndex)"
    assert tab.run(stops) == [-1, 0, -1, -1], "one stop among all channels"
    tab.run("document.querySelectorAll('#channels button')[1].focus()")
    for key, channel in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowRight", 3), ("ArrowLeft", 2), ("ArrowDown", 2)):
        tab.press(key)
        assert tab.run("address()") == f"layer=conv2d&at=3,5,{channel}"
        assert tab.run("document.activeElement.getAttribute('aria-label')") == f"before ReLU, channel {channel}"
    assert close(shown(tab, "#sum"), by_numpy()["z"][3, 5, 2])
    tab.run("document.querySelectorAll('#channels button')[0].focus()")
    tab.press("Enter")
    assert tab.run("address()") == "layer=conv2d&at=3,5,0", "the same place in the channel"
    tab.click("#channels button", 0.9 / 8, 0.95, index=3)
    assert tab.run("address()") == "layer=conv2d&at=9,0,3", "and the place under the mouse"


def test_an_input_is_clicked_and_shows_who_hands_it_gradient(tab):
    expected = by_numpy()
    tab.click("#network .card", index=0)
    assert tab.run("address()").startswith("layer=conv2d&into=5,4,0"), "the image"
    tab.click("#own", (2 + 0.5) / 8, 0.05)
    at = (0, 2, 0)
    assert tab.run("address()") == "layer=conv2d&into=0,2,0"
    assert close(shown(tab, "#sum"), expected["grad_x"][at])
    assert close(shown(tab, "#engine"), expected["grad_x"][at])
    filters = np.zeros(4)
    for i, j in np.ndindex(3, 3):  # outputs at row + 1 - i, column + 1 - j
        row, column = at[0] + 1 - i, at[1] + 1 - j
        if 0 <= row < 10 and 0 <= column < 8:
            filters += expected["g"][row, column] * expected["weights"]["conv2d/kernel"][i, j, at[2]]
    np.testing.assert_allclose(sorted(read(tab, "#number .parts .figure")), sorted(filters), rtol=6e-4, atol=1e-12)
    assert tab.run("document.querySelectorAll('.grid:nth-of-type(1) td').length") == 6, "at the edge there are fewer"


def test_a_weight_is_clicked_and_changed(tab):
    expected = by_numpy()
    tab.run("look({layer: 'conv2d', back: false, at: 44 * 4 + 2, view: 'before', other: 1})")
    tab.click(".grid:nth-of-type(2) td button", index=5)
    place = (1, 2, 1, 2)
    assert tab.run("address()").endswith("weight=1,2,1,2")
    assert close(shown(tab, "#weight-sum"), expected["grad_kernel"][place])
    assert close(shown(tab, "#weight-engine"), expected["grad_kernel"][place])
    assert tab.run("document.activeElement.tagName") == "H2", "the focus stays in the section"
    tab.run("const s = document.querySelector('#what-if'); s.focus(); s.value")
    for _ in range(3):
        tab.press("ArrowRight")
    value = float(tab.run("document.querySelector('#what-if').value"))
    kernel = expected["weights"]["conv2d/kernel"].copy()
    assert value > kernel[place] + 0.005
    kernel[place] = value
    changed = np.einsum("rcdij,ijd->rc", expected["patches"], kernel[..., 2]) + expected["weights"]["conv2d/bias"][2]
    assert close(shown(tab, "#what-if-sum"), changed[5, 4])
    change = f"{value!r} - array(layers.get('conv2d').form.kernel)[weightShown()]"
    np.testing.assert_allclose(
        tab.run(f"[...changedChannel(layers.get('conv2d'), weightShown(), {change}).z]"), changed.ravel(), rtol=1e-5
    )


def test_dense_layers_and_the_pool(tab):
    expected = by_numpy()
    tab.run("look({layer: 'dense', back: false, at: 3})")
    assert close(shown(tab, "#sum"), expected["z1"][3])
    products = expected["pooled"].ravel() * expected["weights"]["dense/kernel"][:, 3]
    order = np.argsort(-np.abs(products))
    rows = tab.run("[...document.querySelectorAll('#number tbody tr')].map(r => r.children[3].innerText)")
    rows = [float(text.replace("−", "-")) for text in rows]
    np.testing.assert_allclose(rows, [*products[order[:12]], products[order[12:]].sum()], rtol=1e-4, atol=1e-6)
    tab.run("look({layer: 'dense', back: true, at: 7})")
    assert close(shown(tab, "#sum"), expected["grad_pooled"].ravel()[7])
    tab.run("look({layer: 'max_pooling2d', back: false, at: 0})")
    window = expected["y"][:2, :2, 0]
    row, column = np.unravel_index(window.argmax(), (2, 2))
    assert close(shown(tab, "#sum"), window.max())
    assert f"the one at row {row}, column {column}" in tab.run("document.querySelector('#number').innerText")
    assert tab.run("document.querySelectorAll('.grid td.chosen').length") == 1


def test_the_loss_is_where_the_gradient_starts(tab):
    expected = by_numpy()
    tab.click("#network .card", index=7)
    assert tab.run("address()") == "layer=loss"
    cells = tab.run("[...document.querySelectorAll('#layer tbody tr')].map(r => [...r.children].map(c => c.innerText))")
    numbers = np.array([[float(row[i].replace("−", "-")) for i in (1, 2, 4, 5, 6)] for row in cells])
    z = expected["z2"]
    columns = [z, np.exp(z - z.max()), expected["shares"], np.eye(3)[LABEL], expected["g2"]]
    np.testing.assert_allclose(numbers, np.transpose(columns), rtol=1e-5, atol=1e-7)
    assert [row[0] for row in cells] == list(NAMES), "names are text, whatever they hold"
    assert close(read(tab, "#layer p:nth-of-type(2)")[0], expected["loss"])
    assert close(read(tab, "#about")[-1], float(f"{expected['loss']:.4g}"))


def test_a_pixel_is_followed_to_the_loss_and_back(tab):
    expected = by_numpy()
    tab.run("look({layer: 'max_pooling2d', back: false, at: strongest(layers.get('max_pooling2d'), false)})")
    steps = tab.run("[...document.querySelectorAll('#path tbody tr')].map(r => [...r.children].map(c => c.innerText))")
    names = ["image", "conv2d", "max_pooling2d", "flatten", "dense", "dropout", "dense_1", "loss"]
    assert [step[0] for step in steps] == names
    values = {"image": ("x", "grad_x"), "conv2d": ("y", "grad_y"), "max_pooling2d": ("pooled", "grad_pooled")}
    for name, place, value, _, gradient in steps[:3]:
        for text, key in ((value, values[name][0]), (gradient, values[name][1])):
            at = tuple(map(int, place.split(",")))
            assert float(text.replace("−", "-")) == pytest.approx(expected[key][at], rel=6e-4, abs=1e-7)
    best = int(np.abs(expected["pooled"] * expected["grad_pooled"]).argmax())
    assert np.ravel_multi_index(tuple(map(int, steps[2][1].split(","))), (5, 4, 4)) == best
    unit = int(np.abs(expected["weights"]["dense/kernel"][best] * expected["g1"]).argmax())
    assert steps[4][1] == str(unit), "on by the unit that hands it most gradient"
    tab.click("#path button", index=1)
    assert tab.run("address()") == f"layer=conv2d&at={steps[1][1].replace(' ', '')}"


def test_scores_without_a_softmax_and_layers_of_somebody_elses(browser, tmp_path):
    class Doubled(Layer):
        def forward(self, x, training=False):
            return 2 * self._enter(x)

        def backward(self, grad_y, input_grad=True):
            return 2 * self._enter_backward(grad_y)

    try:
        model = Sequential([Conv2D(2, 3), Doubled(), Flatten(), Dense(3), Softmax()])
        model.build((5, 5, 1))
        for last in (model, Sequential(model.layers[:4])):
            last.build((5, 5, 1))
            image = np.random.default_rng(0).random((5, 5, 1), np.float32)
            seen = trace(last, image[None], [2])
            z = seen["dense"].output[0].astype(np.float64)
            browser.open(write_inside_page(tmp_path / "page.html", last, image, 2), "#layer=loss")
            shares = browser.run("[...document.querySelectorAll('#layer tbody tr')].map(r => r.children[4].innerText)")
            np.testing.assert_allclose(list(map(float, shares)), np.exp(z) / np.exp(z).sum(), rtol=1e-6)
            browser.click("#layer button")
            assert browser.run("state.layer") == "dense" and browser.run("state.back")
            assert close(shown(browser, "#sum"), seen["dense"].grad_input.ravel()[browser.run("state.at")])
            assert browser.run("document.querySelector('#path tbody tr:last-child').innerText").startswith("loss")
            browser.run(f"look({{layer: '{last.layers[-1].name}', back: true}})")
            browser.run("look({layer: 'doubled', back: false})")
            assert "is not known" in browser.run("document.querySelector('#number').innerText")
            assert browser.complaints == []
    finally:
        Layer.registry.pop("Doubled")


def test_a_block_shows_what_it_adds_up(browser, tmp_path):
    branch, shortcut = [Conv2D(3, 3, strides=2, padding="same")], [Conv2D(3, 1, strides=2)]
    model = Sequential([Residual(branch, shortcut=shortcut, activation="relu"), Flatten(), Dense(2)])
    model.build((6, 6, 1))
    image = np.random.default_rng(0).random((6, 6, 1), np.float32)
    seen = trace(model, image[None], [1])
    browser.open(write_inside_page(tmp_path / "page.html", model, image, 1), "#layer=residual&at=1,2,2")
    parts = {path: seen[path].output[0, 1, 2, 2] for path in ("residual/conv2d", "residual/conv2d_1")}
    largest = max(parts, key=lambda path: abs(parts[path]))
    assert close(shown(browser, "#sum"), sum(parts.values()))
    assert browser.run("document.querySelector('#left figcaption').innerText") == f"{largest}, channel 2 of 3"
    browser.click("#far", 0.1, 0.9)
    assert browser.run("address()") == f"layer={largest.replace('/', '%2F')}&at=2,0,2"
    browser.run("look(wanted('layer=residual&into=5,5,0'))")
    assert close(shown(browser, "#sum"), seen["residual"].grad_input[0, 5, 5, 0])
    assert browser.run("document.querySelector('#right .box')") is None
    assert browser.complaints == []


def test_where_paths_fork_and_meet_the_gradient_that_is_clicked_is_found(browser, tmp_path):
    inner = Parallel([[], Conv2D(2, 3, padding="same")])
    layers = [Conv2D(3, 3, padding="same"), Parallel([[], [Conv2D(2, 1), inner]]), Flatten(), Dense(2)]
    model = Sequential(layers, seed=1)
    model.build((4, 5, 1))
    image = np.random.default_rng(0).random((4, 5, 1), np.float32)
    seen = trace(model, image[None], [1])
    browser.open(write_inside_page(tmp_path / "page.html", model, image, 1))
    inside, deep = "parallel/conv2d", "parallel/parallel"
    for path, place, (layer, kind, at) in (
        ("conv2d", "1,2,2", ("parallel", "into", "1,2,2")),
        (inside, "1,2,1", (deep, "into", "1,2,1")),
        (f"{deep}/conv2d", "1,2,0", (deep, "at", "1,2,2")),
        (deep, "1,2,3", ("parallel", "at", "1,2,6")),
    ):
        browser.run(f"look(wanted('layer=' + encodeURIComponent('{path}') + '&at={place}'))")
        browser.click(".equation button.link")
        assert browser.run("address()") == f"layer={layer.replace('/', '%2F')}&{kind}={at}"
        if kind == "into":
            gradient = seen[path].grad_output[0][tuple(map(int, place.split(",")))]
            assert close(shown(browser, "#sum"), gradient), path
    browser.run("look(wanted('layer=parallel&into=1,2,2'))")
    parts = (seen["parallel"].grad_output[0, 1, 2, 2], seen[inside].grad_input[0, 1, 2, 2])
    names = "[...document.querySelectorAll('#number tbody th')].map(name => name.innerText)"
    products = [parts[("past" not in name)] for name in browser.run(names)]
    np.testing.assert_allclose(read(browser, "#number tbody td:nth-of-type(3)"), products, rtol=1e-3, atol=1e-7)
    for i, name in enumerate(browser.run(names)):
        browser.run("look(wanted('layer=parallel&into=1,2,2'))")
        browser.click("#number tbody th button", index=i)
        expected = "layer=parallel&at=1,2,2" if "past" in name else "layer=parallel%2Fconv2d&into=1,2,2"
        assert browser.run("address()") == expected
    assert browser.complaints == []


def test_colours_are_told_apart_in_grey_and_are_those_of_the_numbers(tab):
    lightness = tab.run("TABLES.signed.map(([r, g, b]) => 0.3 * r + 0.59 * g + 0.11 * b)")
    assert len(lightness) % 2 and np.all(np.diff(lightness) > -0.5) and lightness[-1] - lightness[0] > 180
    tab.run("look({layer: 'conv2d', back: false, at: 44 * 4 + 2, view: 'before'})")
    pixels = "[...document.querySelector('#own canvas').getContext('2d').getImageData(0, 0, 8, 10).data]"
    numbers = "Array.from({length: 80}, (_, i) => array(layers.get('conv2d').arrays.before)[i * 4 + 2])"
    scale = "scaleOf(layers.get('conv2d').arrays.before)"
    painted, expected = tab.run(f"[{pixels}, {numbers}.map(x => [...colour(x, {scale}), 255])]")
    np.testing.assert_array_equal(np.reshape(painted, (80, 4)), expected)
    assert tab.run("[-1, 0, 1].map(x => css(colour(x, {end: 1, kind: 'signed'})))") == [
        "rgb(4 32 79)",
        "rgb(141 146 152)",
        "rgb(255 246 196)",
    ]


def test_a_number_that_nobody_uses_goes_no_further(tab):
    expected = by_numpy()
    dead = int(np.flatnonzero(expected["z"].ravel() < 0)[0])
    tab.run(f"look({{layer: 'conv2d', back: false, at: {dead}}})")
    assert ("no further" in tab.run("document.querySelector('#path').innerText")) == (not expected["grad_y"].flat[dead])


def test_without_a_label_there_is_no_way_back(browser, tmp_path):
    model = Sequential([Conv2D(2, 3, activation="relu")])
    model.build((6, 6, 1))
    browser.open(write_inside_page(tmp_path / "page.html", model, np.zeros((6, 6, 1), np.float32), class_names="ab"))
    assert browser.run("document.querySelector('#backward')") is None
    assert shown(browser, "#sum") == 0
    said = browser.run("document.querySelector('#about').innerText + document.querySelector('#path').innerText")
    assert "no gradient" in said and "gradient comes" not in said and "most gradient" not in said
    browser.click("#far", 0.4, 0.4)
    assert browser.run("state.back") is False
    assert browser.complaints == []


@pytest.mark.parametrize("width", [320, 400, 1280, 2560])
def test_it_fits_every_width(tab, width):
    try:
        tab.resize(width, 900)
        for place in ("layer=conv2d&at=3,5,0", "layer=conv2d&into=3,5,0", "layer=dense&at=2", "layer=loss"):
            tab.run(f"look(wanted('{place}'))")
            assert tab.run("document.documentElement.scrollWidth <= window.innerWidth"), place
    finally:
        tab.resize(1280, 900)


def test_images_and_names_that_do_not_fit(tmp_path):
    model, path = network(), tmp_path / "page.html"
    with pytest.raises(ValueError, match=r"one image of shape \(height, width, channels\), got shape \(10, 8\)"):
        write_inside_page(path, model, film()[..., 0])
    with pytest.raises(ValueError, match="2 class names were given, but model '.*' has 3 outputs"):
        write_inside_page(path, model, film(), class_names=["a", "b"])
    with pytest.raises(ValueError, match="must be built before it can be looked into"):
        write_inside_page(path, Sequential([Dense(2)]), film())
    with pytest.raises(ValueError, match="label"):
        write_inside_page(path, model, film(), label=3)
    assert not path.exists()
