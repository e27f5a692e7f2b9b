"""What comes out of a file is what it honestly holds, or a sentence that says what is wrong with it."""

import os
import struct
import threading
import zipfile

import numpy as np
import pytest
from campaign_tools import bits_turned, peak_bytes
from toys import small_model

from tinycnn import Dense, Sequential
from tinycnn.npz import field, read_npz, write_npz

ARRAYS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "number": np.array(7),
    "yes": np.array([True, False]),
    "none": np.empty((0, 4), np.float32),
    "big": np.arange(3, dtype=">i4"),
}


def test_arrays_come_back_with_type_and_shape(tmp_path):
    write_npz(tmp_path / "a.npz", {"note": "ä"}, ARRAYS)
    header, arrays = read_npz(tmp_path / "a.npz")
    assert header == {"version": 1, "note": "ä"} and arrays.keys() == ARRAYS.keys()
    for key, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[key], array)
        assert arrays[key].dtype == array.dtype and arrays[key].flags.writeable


def rewritten(path, change=lambda name, data: data, **options):
    """The file at `path` with its members changed by a function; zip's own sums are right again."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in members.items():
            file.writestr(name, change(name, data))


def test_nothing_is_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    write_npz(path, {}, {"zeros": np.zeros(50_000_000, np.uint8)})
    rewritten(path, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    with pytest.raises(ValueError, match="claim more bytes than the file has"):
        read_npz(path)
    write_npz(path, {}, {"noise": np.random.default_rng(0).integers(0, 256, 9999, np.uint8)})
    rewritten(path, compression=zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match="is compressed or encrypted; tinycnn stores arrays as they are"):
        read_npz(path)


@pytest.mark.parametrize(
    "old, new, message",
    [
        (b"(2, 3)", b"(2, 9)", r"'matrix' claims shape \(2, 9\) of float32, but has 24 bytes"),
        (b"(2, 3), }", b"(2**33,)}", "its header is damaged"),
        (b"'<f4'", b"'|O8'", "no array of numbers or text"),
        (b"'<f4'", b"'<M8'", "no array of numbers or text"),
        (b"'<f4'", b"'<f3'", "matrix"),
        (b"\x93NUMPY", b"\x93NUMPX", "no NumPy array"),
        (b"\x93NUMPY\x01", b"\x93NUMPY\x09", "no NumPy array"),
        (b"v\x00{", b"\xff\xff{", "its header is damaged"),
    ],
)
def test_claims_are_held_against_the_bytes(tmp_path, old, new, message):
    path = tmp_path / "a.npz"
    write_npz(path, {}, {"matrix": ARRAYS["matrix"]})
    rewritten(path, lambda name, data: data.replace(old, new, 1) if name == "matrix.npy" else data)
    with pytest.raises(ValueError, match=f"a.npz is not a whole tinycnn file: .*{message}"):
        read_npz(path)


def test_two_arrays_of_one_name_are_refused(tmp_path):
    write_npz(tmp_path / "a.npz", {}, ARRAYS)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("number.npy", file.read("number.npy"))
    with pytest.raises(ValueError, match="two arrays 'number'"):
        read_npz(tmp_path / "a.npz")


def test_a_member_marked_encrypted_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, {}, ARRAYS)
    data = path.read_bytes()
    at = data.index(b"PK\x01\x02") + 8  # the flags of the first entry in the list
    path.write_bytes(data[:at] + struct.pack("<H", struct.unpack("<H", data[at : at + 2])[0] | 1) + data[at + 2 :])
    with pytest.raises(ValueError, match="compressed or encrypted"):
        read_npz(path)


@pytest.mark.parametrize(
    "header, message",
    [
        ("[]", "its header is no dict but list"),
        ('{"version": 2}', "version 2, this tinycnn reads up to 1"),
        ('{"version": "1"}', "'version' must be int"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_headers_that_are_none(tmp_path, header, message):
    np.savez(tmp_path / "a.npz", tinycnn=np.array(header))
    with pytest.raises(ValueError, match=message):
        read_npz(tmp_path / "a.npz")


def test_what_zipfile_says_of_a_damaged_file_is_cut_short(tmp_path):
    """It quotes the name of a part, which is as long as two damaged bytes say."""
    path = tmp_path / "m.npz"
    write_npz(path, {"metadata": {}}, {"a": np.zeros(2000)})
    data = bytearray(path.read_bytes())
    data[26:28] = (9000).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(ValueError, match="m.npz is not a whole tinycnn file") as caught:
        read_npz(path)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    said = []

    def read():
        try:
            read_npz(tmp_path / "a.npz")
        except ValueError as error:
            said.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive() and "no ordinary file" in said[0]


def test_a_layer_larger_than_its_weights_costs_nothing(tmp_path):
    model = Sequential([Dense(4)])
    model.build((4,))
    model.save(tmp_path / "m.npz")
    header, arrays = read_npz(tmp_path / "m.npz")
    before = peak_bytes()
    for units in (10**8, 3 * 10**13, 10**30):
        header["architecture"]["layers"][0]["config"]["units"] = units
        write_npz(tmp_path / "m.npz", header, arrays)
        with pytest.raises(ValueError, match="m.npz"):
            Sequential.load(tmp_path / "m.npz")
    assert peak_bytes() - before < 20e6


def test_weights_that_are_not_finite_are_loaded_only_if_asked_for(tmp_path):
    model = small_model()
    model.get_layer("affine_1").params["bias"][1] = np.nan
    model.save(tmp_path / "m.npz")
    with pytest.raises(ValueError, match="m.npz: layer 'affine_1' has NaN or infinity in its bias"):
        Sequential.load(tmp_path / "m.npz")
    other = small_model(seed=3)
    before = other.get_weights()
    with pytest.raises(ValueError, match="NaN"):
        other.load_weights(tmp_path / "m.npz")
    assert all((before[key] == array).all() for key, array in other.get_weights().items())
    loaded = Sequential.load(tmp_path / "m.npz", allow_nonfinite=True)
    np.testing.assert_array_equal(
        loaded.get_layer("affine_1").params["bias"], model.get_layer("affine_1").params["bias"]
    )


def test_turned_bits_give_the_same_numbers_or_a_sentence(tmp_path):
    path = tmp_path / "m.npz"
    write_npz(path, {"metadata": {}}, {"a": ARRAYS["matrix"]})
    whole, fell = path.read_bytes(), 0
    for case in range(400):
        path.write_bytes(bits_turned(whole, np.random.default_rng(case)))
        try:
            arrays = read_npz(path)[1]
            assert all((array == ARRAYS["matrix"]).all() for array in arrays.values())
        except ValueError as error:
            assert str(path) in str(error)
            fell += 1
    assert fell > 200


@pytest.mark.parametrize("owner", [None, [], {}, {"n": "3"}, {"n": True}, {"n": None}, {"n": 2.5}, {"n": -1}])
def test_fields_have_a_type_and_a_range(owner):
    with pytest.raises(ValueError, match="run.npz.*'n'"):
        field(owner, "n", int, "run.npz", least=0)
