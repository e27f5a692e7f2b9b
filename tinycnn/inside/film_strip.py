"""Kernels and loss of a training run as an animated GIF."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tinycnn.files import atomic_write

WIDTH, CURVE, MARGIN, LINE = 480, 120, 10, 16  # pixels
# Dark below zero, light above, grey at zero, as in `tinycnn.inside.passes`.
SIGNED = np.array([[4, 32, 79], [47, 95, 158], [141, 146, 152], [232, 185, 60], [255, 246, 196]], np.float64)


def write_gif(path: str | os.PathLike[str], frames: Sequence[Mapping[str, Any]], loss: Sequence[float]) -> Path:
    """One picture per frame: the first kernels, enlarged, and the loss up to that epoch.

    Parameters
    ----------
    path : path-like
        Written whole or not at all.
    frames : sequence of dict
        Of `tinycnn.inside.film_frame.frame_of`, each with its ``epoch``, from 1.
    loss : sequence of float
        Of every epoch.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OSError
        Naming the path, if it cannot be written.
    """
    pictures = [_picture(frame, loss) for frame in frames]
    with atomic_write(path) as temporary:
        pause = [max(60, 6000 // len(pictures))] * (len(pictures) - 1) + [
            2000
        ]  # ms: six seconds, and a look at the end
        pictures[0].save(
            temporary, "GIF", save_all=True, append_images=pictures[1:], duration=pause, loop=0, optimize=False
        )
    return Path(path)


def kernel_pictures(kernels: Mapping[str, Any]) -> np.ndarray:
    """Kernels of `tinycnn.inside.film_frame.first_kernels` as uint8 RGB, shape (kernels, rows, columns, 3).

    Three channels are taken for red, green and blue, grey meaning 0; of any other number the mean is shown, from dark
    (negative) through grey to light.

    >>> kernel_pictures({"shape": [1, 2, 1, 1], "values": [0, 127]}).tolist()
    [[[[141, 146, 152], [255, 246, 196]]]]
    """
    values = np.reshape(kernels["values"], kernels["shape"]) / 127  # (rows, columns, channels, kernels)
    values = values.transpose(3, 0, 1, 2)
    if values.shape[3] == 3:
        return np.rint(127.5 + 127.5 * values).astype(np.uint8)
    mean, stops = values.mean(axis=3), np.linspace(-1, 1, len(SIGNED))
    return np.rint(np.stack([np.interp(mean, stops, SIGNED[:, c]) for c in range(3)], axis=-1)).astype(np.uint8)


def _picture(frame: Mapping[str, Any], loss: Sequence[float]) -> Image.Image:
    sheet = _kernel_sheet(frame["kernels"]) if frame["kernels"] else Image.new("RGB", (1, 1), "white")
    top = MARGIN + LINE
    picture = Image.new("RGB", (WIDTH, top + sheet.height + MARGIN + CURVE + MARGIN), "white")
    picture.paste(sheet, (MARGIN, top))
    draw, epoch = ImageDraw.Draw(picture), frame["epoch"]
    draw.text((MARGIN, MARGIN // 2), f"epoch {epoch}   loss {loss[epoch - 1]:.4f}", fill="black")
    bottom, low, high = picture.height - MARGIN, min(*loss, 0), max(*loss, 1e-9)
    across = (WIDTH - 2 * MARGIN) / max(1, len(loss) - 1)
    points = [
        (MARGIN + i * across, bottom - (CURVE - 6) * (value - low) / (high - low)) for i, value in enumerate(loss)
    ]
    draw.line([(MARGIN, bottom), (WIDTH - MARGIN, bottom)], fill="#b0b4b8")
    for value, y in ((low, bottom - LINE), (high, bottom - CURVE + 8)):
        draw.text((MARGIN, y), f"{value:.3g}", fill="#5f6368")
    draw.line(points[:epoch], fill="#0b62a8", width=2)
    x, y = points[epoch - 1]
    draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill="#0b62a8")
    return picture


def _kernel_sheet(kernels: Mapping[str, Any]) -> Image.Image:
    pictures = kernel_pictures(kernels)  # (kernels, rows, columns, 3)
    n, rows, columns, _ = pictures.shape
    across = min(n, 8)
    side = (WIDTH - 2 * MARGIN) // across - 4
    height = max(1, side * rows // columns)
    sheet = Image.new("RGB", (WIDTH - 2 * MARGIN, -(-n // across) * (height + 4)), "white")
    for i, pixels in enumerate(pictures):
        enlarged = Image.fromarray(pixels).resize((side, height), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (i % across * (side + 4), i // across * (height + 4)))
    return sheet
