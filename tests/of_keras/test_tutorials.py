"""Five scripts as Keras's tutorials are written, each on a few drawn images: nothing but their imports is ours."""

import numpy as np

import tinycnn
from tinycnn import keras
from tinycnn.keras import layers


def squares(n, size=12, channels=1, seed=0):
    """Bytes with a bright square in one of four corners, and its number."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    images = rng.integers(0, 90, (n, size, size, channels), dtype=np.uint8)
    half = size // 2
    for image, label in zip(images, labels, strict=True):
        top, left = half * (label // 2), half * (label % 2)
        image[top : top + half, left : left + half] += 140
    return images, labels


def test_a_convnet_for_digits():
    num_classes, input_shape = 4, (12, 12, 1)
    (x_train, y_train), (x_test, y_test) = squares(256), squares(32, seed=1)
    x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255
    y_train = keras.utils.to_categorical(y_train, num_classes)
    y_test = keras.utils.to_categorical(y_test, num_classes)

    model = keras.Sequential(
        [
            keras.Input(shape=input_shape),
            layers.Conv2D(8, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(8, kernel_size=(3, 3), activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.25),
            layers.Dense(num_classes, activation="softmax"),
        ]
    )
    model.summary(print_fn=lambda text: None)
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    history = model.fit(x_train, y_train, batch_size=8, epochs=8, validation_split=0.25, verbose=0)
    score = model.evaluate(x_test, y_test, verbose=0)
    assert len(score) == 2 and score[1] > 0.9
    assert len(history.history["val_accuracy"]) == 8 and history.history["loss"][-1] < history.history["loss"][0]
    assert (model.predict(x_test, verbose=0).argmax(axis=1) == y_test.argmax(axis=1)).mean() == score[1]


def test_a_convolutional_autoencoder():
    clean = squares(32)[0].astype("float32") / 255
    noisy = np.clip(clean + 0.2 * np.random.default_rng(1).normal(size=clean.shape), 0.0, 1.0)

    inputs = layers.Input(shape=(12, 12, 1))
    x = layers.Conv2D(8, (3, 3), activation="relu", padding="same")(inputs)
    x = layers.MaxPooling2D((2, 2), padding="same")(x)
    x = layers.Conv2D(8, (3, 3), activation="relu", padding="same")(x)
    x = layers.Conv2DTranspose(8, (3, 3), strides=2, activation="relu", padding="same")(x)
    x = layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same")(x)
    autoencoder = keras.Model(inputs, x)
    autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
    history = autoencoder.fit(
        x=noisy, y=clean, epochs=5, batch_size=8, shuffle=True, validation_data=(noisy, clean), verbose=0
    )
    assert history.history["val_loss"][-1] < history.history["val_loss"][0]
    outputs = autoencoder.predict(noisy)
    assert outputs.shape == clean.shape and 0 <= outputs.min() <= outputs.max() <= 1


def test_image_classification_with_augmentation(tmp_path):
    images, labels = squares(48, channels=3)
    labels = labels % 2  # left or right: two classes, one output
    batches = [(images[i : i + 8], labels[i : i + 8]) for i in range(0, 48, 8)]
    train_ds, val_ds = batches[:4], batches[4:]

    data_augmentation = keras.Sequential([layers.RandomFlip("vertical"), layers.RandomRotation(0.02)])

    def make_model(input_shape):
        inputs = keras.Input(shape=input_shape)
        x = data_augmentation(inputs)
        x = layers.Rescaling(1.0 / 255)(x)
        x = layers.Conv2D(8, 3, strides=2, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
        previous = x
        x = layers.SeparableConv2D(12, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        residual = layers.Conv2D(12, 1, strides=2, padding="same")(previous)
        x = layers.add([x, residual])
        x = layers.Flatten()(x)
        x = layers.Dropout(0.25)(x)
        return keras.Model(inputs, layers.Dense(1, activation=None)(x))

    model = make_model(input_shape=(12, 12, 3))
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(tmp_path / "save_at_{epoch}.keras")),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=30, restore_best_weights=True),
    ]
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(name="acc")],
    )
    history = model.fit(train_ds, epochs=8, callbacks=callbacks, validation_data=val_ds, verbose=0)
    assert max(history.history["val_acc"]) > 0.8 and (tmp_path / "save_at_8.keras").exists()
    again = keras.models.load_model(tmp_path / "save_at_8.keras")
    assert again.predict(np.expand_dims(images[0], 0), verbose=0).shape == (1, 1)


def test_a_small_resnet():
    images, labels = squares(48)
    x = images.astype("float32") / 255

    def block(x, filters, stride=1):
        shortcut = x
        y = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
        y = layers.BatchNormalization()(y)
        y = layers.ReLU()(y)
        y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
        y = layers.BatchNormalization()(y)
        if stride != 1:
            shortcut = layers.Conv2D(filters, 1, strides=stride, padding="same")(x)
        return layers.Activation("relu")(layers.add([shortcut, y]))

    inputs = keras.Input(shape=(12, 12, 1))
    outputs = block(block(layers.Conv2D(8, 3, padding="same")(inputs), 8), 16, stride=2)
    outputs = layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling2D()(outputs))
    model = keras.Model(inputs=inputs, outputs=outputs, name="resnet")
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate=0.05, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )

    def schedule(epoch, rate):
        return rate if epoch < 6 else rate * 0.5

    callbacks = [
        keras.callbacks.LearningRateScheduler(schedule),
        keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=3),
    ]
    history = model.fit(x, labels, batch_size=8, epochs=8, callbacks=callbacks, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0] / 2
    assert history.history["learning_rate"][7] <= 0.05 / 4


def test_grad_cam():
    images, labels = squares(48)
    x = images.astype("float32") / 255
    model = keras.Sequential()
    model.add(keras.Input(shape=(12, 12, 1)))
    model.add(layers.Conv2D(8, 3, activation="relu", padding="same", name="last_conv"))
    model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(4, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(x, labels, batch_size=8, epochs=8, verbose=0)

    img_array = np.expand_dims(x[0], axis=0)
    preds = model.predict(img_array)
    heatmap = tinycnn.grad_cam(model, img_array, class_index=preds[0].argmax(), layer="last_conv")[0]
    assert heatmap.shape == (12, 12) and 0 <= heatmap.min() and heatmap.max() == 1
