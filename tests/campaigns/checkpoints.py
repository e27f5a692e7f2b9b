"""Checkpoints that are resumed: bits turned over, nonsense in their description, other arrays."""

from campaign_tools import bits_turned, peak_bytes, spoiled, spoiled_arrays
from models import write
from toys import spots

from tinycnn import Adam, Checkpoint, Conv2D, Dense, Dropout, EarlyStopping, Flatten, Sequential, fit
from tinycnn.npz import read_npz

COUNT = 1500
DATA = spots(6, seed=0)


def train(path, resume=None, epochs=2):
    model = Sequential([Conv2D(2, 3, activation="relu"), Dropout(0.2), Flatten(), Dense(3, activation="softmax")])
    callbacks = [EarlyStopping("loss", patience=9), Checkpoint(path)]
    fit(model, DATA, epochs=epochs, optimizer=Adam(), callbacks=callbacks, verbose=0, resume=resume)


def prepare(folder):
    train(folder / "run.npz")
    train(folder / "out.npz", resume=folder / "run.npz", epochs=3)
    return folder / "run.npz", (folder / "run.npz").read_bytes(), *read_npz(folder / "run.npz")


def attack(subject, rng):
    path, whole, header, arrays = subject
    path, kind = path.with_name("attacked.npz"), rng.integers(3)
    if kind == 0:
        path.write_bytes(bits_turned(whole, rng))
    elif kind == 1:
        write(path, {**header, "training": spoiled(header["training"], rng)}, arrays)
    else:
        write(path, header, spoiled_arrays(arrays, rng))
    before = peak_bytes()
    try:
        train(path.with_name("out.npz"), resume=path, epochs=3)
    except (ValueError, FloatingPointError) as error:
        assert len(str(error)) < 2000, "a page of error"
        assert not isinstance(error, UnicodeError), "not in tinycnn's words"
    assert peak_bytes() - before < 20e6, f"it took {(peak_bytes() - before) / 1e6:.0f} MB"
