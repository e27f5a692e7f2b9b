import re

import numpy as np
import pytest
from PIL import Image

from tinycnn.inside.film_strip import kernel_pictures, write_gif


def frame(epoch, values, shape):
    return {"epoch": epoch, "kernels": {"shape": shape, "values": values}}


def test_a_gif_has_a_picture_for_each_frame(tmp_path):
    frames = [frame(epoch, [127 * (epoch % 2) - 60] * 18, [3, 3, 1, 2]) for epoch in (1, 3, 5)]
    path = write_gif(tmp_path / "film.gif", frames, [1.0, 0.9, 0.5, 0.4, 0.3])
    gif = Image.open(path)
    pictures = []
    for i in range(gif.n_frames):
        gif.seek(i)
        pictures.append(np.asarray(gif.convert("RGB")))
    assert len(pictures) == 3 and not np.array_equal(pictures[0], pictures[1])
    assert write_gif(tmp_path / "one.gif", [{"epoch": 1, "kernels": None}], [1.0]).exists()  # no convolution


def test_kernels_in_colour_and_in_one_scale():
    colour = kernel_pictures({"shape": [1, 1, 3, 2], "values": [127, 0, -127, 127, 0, -127]})
    assert colour.tolist() == [[[[255, 0, 128]]], [[[128, 255, 0]]]]
    signed = kernel_pictures({"shape": [1, 2, 2, 1], "values": [127, 127, -127, 127]})
    assert signed.tolist() == [[[[255, 246, 196], [141, 146, 152]]]]  # means over the two channels


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken.gif").mkdir()
    with pytest.raises(OSError, match=re.escape(f"could not write {tmp_path / 'taken.gif'}")):
        write_gif(tmp_path / "taken.gif", [{"epoch": 1, "kernels": None}], [1.0])
