"""Names, weights and what is no list of layers; files are held to account in test_serialization."""

import numpy as np
import pytest
from toys import Affine, Bend, batch, small_model

from tinycnn.model import Sequential

pytestmark = pytest.mark.usefixtures("kernels")


def test_layers_get_unique_names_indices_and_workspaces():
    model = small_model()
    assert [layer.name for layer in model.layers] == ["affine", "bend", "pair", "noise", "affine_1"]
    assert [layer.name for layer in model.get_layer("pair").sublayers()] == ["pair/affine", "pair/bend"]
    assert [layer.index for layer in model.all_layers()] == [0, 1, 2, 2, 2, 3, 4, 4]
    assert all(layer._workspace is not None for layer in model.all_layers())


def test_names_given_by_the_user_are_kept_and_not_taken_twice():
    model = Sequential([Affine(2), Affine(2, name="affine"), Affine(2)])
    assert [layer.name for layer in model.layers] == ["affine_1", "affine", "affine_2"]
    with pytest.raises(ValueError, match="2 layers are called 'a'"):
        Sequential([Bend(name="a"), Affine(2, name="a")])


def test_what_is_not_a_list_of_layers_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        Sequential([])
    with pytest.raises(ValueError, match="layer 1 is 'relu'"):
        Sequential([Bend(), "relu"])
    layer = Bend()
    with pytest.raises(ValueError, match="appears twice"):
        Sequential([layer, layer])


def test_frozen_layers_are_not_offered_to_the_optimizer():
    model = small_model()
    model.get_layer("pair").trainable = False
    assert [key for key, _, _ in model.parameters()] == [
        f"{name}/{what}" for name in ("affine", "affine_1") for what in ("kernel", "bias")
    ]


def test_same_seed_same_weights_and_none_differs():
    a, b, other = (small_model(seed).get_weights() for seed in (7, 7, None))
    assert all(np.array_equal(a[key], b[key]) for key in a)
    assert not np.array_equal(a["affine/kernel"], other["affine/kernel"])


def test_trainable_sets_every_layer():
    model = small_model()
    assert model.trainable
    before = model.get_weights()
    model.trainable = False
    assert not model.trainable and list(model.parameters()) == []
    model.fit((batch(4), np.arange(4) % 3), epochs=1, verbose=0)
    assert all((before[key] == array).all() for key, array in model.get_weights().items())
    model.trainable = True
    assert len(list(model.parameters())) == 6
