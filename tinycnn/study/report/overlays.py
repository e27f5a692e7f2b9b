"""Heat maps over their images, in one picture."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from tinycnn.arguments import flag, listed, numbers, positive_int
from tinycnn.scores.figure import Picture, finished, wrapped

# Black, violet, red, orange, pale yellow: steadily lighter, so that the order survives a grey printer.
_HEAT = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], np.float64)


def overlay(images: ArrayLike, maps: ArrayLike, strength: float = 0.8) -> np.ndarray:
    """The images in grey under their heat maps in colour, as uint8 RGB.

    Parameters
    ----------
    images : array, shape (images, height, width, channels)
        uint8, or float from 0 to 1.
    maps : array of float, shape (images, height, width)
        From 0 to 1.
    strength : float
        Opacity where the heat is 1; where it is 0 the image shows unchanged.

    Returns
    -------
    ndarray of uint8, shape (images, height, width, 3)

    Examples
    --------
    >>> overlay(np.full((1, 1, 2, 1), 100, np.uint8), [[[0.0, 1.0]]], strength=1.0).tolist()
    [[[[100, 100, 100], [252, 255, 164]]]]
    """
    images, maps = np.asarray(images), np.asarray(maps, np.float64)
    if images.ndim != 4 or maps.shape != images.shape[:3]:
        raise ValueError(
            f"images (images, height, width, channels) and maps (images, height, width) are needed, "
            f"got {images.shape} and {maps.shape}"
        )
    grey = images.mean(axis=3, keepdims=True) * (1 if images.dtype == np.uint8 else 255)
    heat = np.clip(maps, 0, 1)
    stops = np.linspace(0, 1, len(_HEAT))
    colour = np.stack([np.interp(heat, stops, _HEAT[:, c]) for c in range(3)], axis=-1)
    opacity = strength * heat[..., None]
    return (grey * (1 - opacity) + colour * opacity).round().clip(0, 255).astype(np.uint8)


def colour_bar(height: int = 12, width: int = 256) -> np.ndarray:
    """The colours of `overlay` from no heat on the left to the most on the right, over middle grey.

    >>> colour_bar(1, 2).tolist()
    [[[128, 128, 128], [227, 230, 157]]]
    """
    heat = np.broadcast_to(np.linspace(0, 1, width), (1, height, width))
    return overlay(np.full((1, height, width, 1), 128, np.uint8), heat)[0]


def plot_overlays(
    images: ArrayLike,
    maps: ArrayLike,
    titles: Sequence[str],
    path: str | os.PathLike[str] | None = None,
    *,
    columns: int = 4,
    title: str | None = "Where the network looked (Grad-CAM)",
    note: str | None = None,
) -> Figure:
    """Each image beside itself under its heat map, with the scale of the colours.

    Parameters
    ----------
    images : array, shape (images, height, width, channels)
        uint8, or float from 0 to 1.
    maps : array of float, shape (images, height, width)
        From 0 to 1, as `tinycnn.inside.grad_cam` gives them.
    titles : sequence of str
        One per image.
    path : path-like, optional
        The file to write, whole or not at all, in the format of its ending.
    columns : int
        Pairs side by side.
    title, note : str, optional
        Above and, small, below the picture; the note is the place to say what the data are and are not.

    Returns
    -------
    matplotlib.figure.Figure
        A grid, and so a figure of its own: there is no ``ax=``.

    Raises
    ------
    ValueError
        If there is no image, or not one map and title for each.

    Examples
    --------
    >>> images = np.zeros((2, 8, 8, 1), np.uint8)
    >>> plot_overlays(images, np.ones((2, 8, 8)), ["a", "b"]).get_suptitle()
    'Where the network looked (Grad-CAM)'
    """
    images, maps, titles = numbers(images, "images"), numbers(maps, "maps"), listed(titles, "titles")
    columns = positive_int(columns, "columns", most=100)
    if images.ndim == 0 or maps.ndim == 0:
        raise ValueError("images and maps must be one for each title, got a single number")
    if len(images) == 0 or not len(images) == len(maps) == len(titles):
        raise ValueError(
            f"at least one image, and one map and title for each, are needed: got {len(images)} images, {len(maps)} "
            f"maps, {len(titles)} titles, {columns} columns"
        )
    coloured = overlay(images, maps)
    plain = overlay(images, np.zeros(images.shape[:3]))
    pairs = np.concatenate([plain, coloured], axis=2)  # (images, height, 2 * width, 3)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = 3.4 * pairs.shape[1] / pairs.shape[2] + 0.32  # inches: a pair and two lines of title
    figure = Picture(
        figsize=(3.4 * columns, height * rows + (1.3 if flag(title, "title") else 0.9)), layout="constrained"
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, pair, text in zip(grid.flat, pairs, titles, strict=False):
        axes.imshow(pair)
        axes.set_title(wrapped(text, 54), fontsize=8, pad=3)
    scale = ScalarMappable(cmap=ListedColormap(colour_bar(1)[0] / 255))
    bar = figure.colorbar(scale, ax=list(grid.flat), location="bottom", fraction=0.1, shrink=0.5, aspect=25, pad=0.01)
    bar.set_label("heat: 1 is the most in this image, each has its own scale", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return finished(figure, path, title, note)
