import numpy as np
from seen import small_cnn

from tinycnn.inside.twin import twin_of
from tinycnn.layers.activation import LeakyReLU


def test_a_twin_computes_the_same_and_shares_nothing():
    model = small_cnn()
    model.build((12, 20, 3))
    model.get_layer("dense").trainable = False
    model.rng.random(5)
    x = np.random.default_rng(0).random((2, 12, 20, 3), dtype=np.float32)
    twin = twin_of(model)
    assert not twin.get_layer("dense").trainable and twin.get_layer("conv2d").trainable
    np.testing.assert_array_equal(twin.forward(x, training=True), model.forward(x, training=True))  # dropout too
    before = model.get_weights()
    for layer in twin.all_layers():
        for param in layer.params.values():
            param += 1
    assert all((before[key] == value).all() for key, value in model.get_weights().items())


def test_layers_may_change_but_not_their_weights():
    model = small_cnn()
    model.build((12, 20, 3))

    def leaky(layer):
        if layer.activation is not None and layer.name != "dense_1":
            layer.activation = LeakyReLU(0.0)
        return layer

    x = np.random.default_rng(0).random((2, 12, 20, 3), dtype=np.float32)
    np.testing.assert_allclose(twin_of(model, leaky).forward(x), model.forward(x), rtol=1e-5)
