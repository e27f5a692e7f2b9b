"""Chest films that never were: drawn from random geometry, so that everything runs where no data is given.

The absorption along each ray is added up in the film's plane: soft tissue, minus the air of two lungs, plus heart,
spine, ribs and clavicles, plus the pattern of a class; then exposure, scatter and grain. Lengths are in units of
half the film: x from -1 (the patient's right, on the left of the film) to 1, y from -1 (top) to 1.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from tinycnn.arguments import MOST, brief, generator, listed
from tinycnn.data.dataset import Dataset, Splits
from tinycnn.data.decode import check_size_and_mode
from tinycnn.data.layout import worker_threads

CLASS_NAMES = ("Synthetic Covid-like", "Synthetic Normal", "Synthetic Viral-like")


def chest_phantoms(
    n_train: int | Sequence[int] = (111, 70, 70),
    n_test: int | Sequence[int] = (26, 20, 20),
    size: int | tuple[int, int] = 256,
    seed: int = 0,
    *,
    mode: str = "RGB",
    workers: int | None = None,
) -> Splits:
    """A made-up set of chest films in three classes, in the sizes of the report's real one.

    **These are drawings, not patients.** They test the engine and show how to use it; nothing learnt or measured
    on them says anything about radiology. What separates the classes:

    * ``Synthetic Covid-like``: a few hazy patches in both lungs, near their outer edge, more often low.
    * ``Synthetic Normal``: neither, only vessels, which all classes have.
    * ``Synthetic Viral-like``: a net of fine lines spreading from where the vessels enter the lungs.

    Severity runs from faint to plain. Body build, heart size, position, tilt, exposure, contrast, sharpness, grain
    and a letter marker vary far more than the patterns and do not depend on the class, so neither brightness nor a
    thumbnail tells the classes apart well.

    Parameters
    ----------
    n_train, n_test : int or (int, int, int)
        Images of each class, in the order above; one int serves all three.
    size : int or (int, int)
        Height and width in pixels.
    seed : int
        Image number i of a split and class depends on `seed` and i only, not on how many others are drawn.
    mode : "RGB" or "L"
        Three equal channels or one.
    workers : int, optional
        Drawing threads; the result does not depend on it.

    Returns
    -------
    Splits
        ``train`` and ``test``, ordered by class; `paths` name no files but begin with ``synthetic/``.

    Raises
    ------
    ValueError
        If a count is negative, or `size` or `mode` is impossible.

    Examples
    --------
    >>> train, test, _ = chest_phantoms(n_train=2, n_test=(1, 0, 1), size=64, mode="L")
    >>> train
    Dataset of 6 images 64x64x1 uint8: 2 Synthetic Covid-like, 2 Synthetic Normal, 2 Synthetic Viral-like
    >>> test.paths
    ('synthetic/test/covid-like/0', 'synthetic/test/viral-like/0')
    """
    size, channels = check_size_and_mode(size, mode), 3 if mode == "RGB" else 1
    datasets = []
    for films in _drawn(n_train, n_test, size, seed, workers):
        images = np.empty((len(films), *size, channels), np.uint8)
        for image, film in zip(images, films, strict=True):
            image[...] = film.pixels[..., None]
        labels = np.array([film.label for film in films], np.int64)
        datasets.append(Dataset(images, labels, CLASS_NAMES, tuple(film.path for film in films)))
    return Splits(datasets[0], datasets[1], [])


def chest_phantom_masks(
    n_train: int | Sequence[int] = (111, 70, 70),
    n_test: int | Sequence[int] = (26, 20, 20),
    size: int | tuple[int, int] = 256,
    seed: int = 0,
    *,
    workers: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Where the patterns of the classes are in the films of `chest_phantoms`: the truth that explanations should find.

    A pixel belongs to the mask if the patches, or the net, add at least a quarter there of what they add at their
    densest.  The films are drawn again for it, so it takes as long as they did.

    Parameters
    ----------
    n_train, n_test, size, seed, workers
        As `chest_phantoms` was given them.

    Returns
    -------
    train, test : ndarray of bool, shape (images, height, width)
        In the order of the films; False throughout in a normal one, into which nothing was drawn.

    Raises
    ------
    ValueError
        As of `chest_phantoms`.

    Examples
    --------
    >>> train, test = chest_phantom_masks(n_train=1, n_test=0, size=64)
    >>> train.shape, test.shape, train.any(axis=(1, 2))
    ((3, 64, 64), (0, 64, 64), array([ True, False,  True]))
    """
    size = check_size_and_mode(size, "L")
    train, test = (
        np.array([film.mask for film in films], bool).reshape(-1, *size)
        for films in _drawn(n_train, n_test, size, seed, workers)
    )
    return train, test


class _Film(NamedTuple):
    """One drawing: pixels (uint8), mask of the class's pattern (bool), both of (height, width); class and path."""

    pixels: np.ndarray
    mask: np.ndarray
    label: int
    path: str


def _drawn(n_train, n_test, size, seed, workers):
    """The films of both splits, ordered by class."""
    kinds = [name.split()[1].lower() for name in CLASS_NAMES]
    threads, all_counts = worker_threads(workers), (_three_counts(n_train), _three_counts(n_test))
    if sum(map(sum, all_counts)) * size[0] * size[1] > MOST:
        raise ValueError(
            f"films of {size[0]}x{size[1]}, {all_counts} of them, have more than {MOST} pixels: draw fewer"
        )
    if seed is None:
        raise ValueError("seed must be an int from 0 on, got None: the same films are drawn each time")
    generator(seed)
    jobs = [
        (split, label, i) for split, counts in enumerate(all_counts) for label in range(3) for i in range(counts[label])
    ]

    def draw(job):
        split, label, i = job
        pixels, mask = _film(np.random.default_rng([seed, *job]), label, size)
        return _Film(pixels, mask, label, f"synthetic/{('train', 'test')[split]}/{kinds[label]}/{i}")

    with ThreadPoolExecutor(threads, "tinycnn-phantoms") as pool:
        films = list(pool.map(draw, jobs))
    n = sum(split == 0 for split, _, _ in jobs)
    return films[:n], films[n:]


def _three_counts(counts: int | Sequence[int]) -> tuple[int, ...]:
    counts = (counts,) * 3 if isinstance(counts, (int, np.integer)) else tuple(listed(counts, "counts"))
    if len(counts) != 3 or any(not isinstance(n, (int, np.integer)) or n < 0 for n in counts):
        raise ValueError(f"counts must be an int or three of them, 0 or more, one for each class; got {brief(counts)}")
    return counts


def _film(rng, label, size):
    """One film, uint8 of shape `size`, and the mask of the class's pattern in it."""
    x, y = _warped_coordinates(rng, size)
    body = _body(rng, x, y)
    lungs, depth, edge, hila = _lungs(rng, x, y)
    film = body * (0.52 + 0.1 * _cloud(rng, size, 4))
    film -= depth * rng.uniform(0.34, 0.46)
    bones = _ribs(rng, x, y) * rng.uniform(0.07, 0.13) + _spine_and_clavicles(rng, x, y)
    film += body * bones
    film += _heart(rng, x, y) * rng.uniform(0.2, 0.3)
    film += lungs * _vessels(rng, size, hila) * rng.uniform(0.08, 0.16)
    pattern = np.zeros_like(film)
    if label == 0:
        pattern = lungs * _patches(rng, x, y, size, edge) * rng.uniform(0.2, 0.42)
    elif label == 2:
        pattern = lungs * _net(rng, size, hila) * rng.uniform(0.25, 0.5)
    film += pattern
    film = np.maximum(film, _marker(rng, x.shape))
    return _exposed(rng, film, size), pattern > pattern.max() / 4


def _warped_coordinates(rng, size):
    """x and y of every pixel in the patient's frame: tilt, zoom, shift, build, and a gentle bend."""
    height, width = size
    column = ((np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1)[None, :]
    row = ((np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1)[:, None]
    tilt = rng.normal(0, 0.05)
    cos, sin = math.cos(tilt), math.sin(tilt)
    zoom_x, zoom_y = (float(z) for z in rng.uniform(0.88, 1.14) * rng.uniform(0.94, 1.06, 2))
    shift_x, shift_y = rng.normal(0, 0.05, 2).tolist()
    x = (column * cos - row * sin) * zoom_x + shift_x + 0.05 * _cloud(rng, size, 3)
    y = (column * sin + row * cos) * zoom_y + shift_y + 0.05 * _cloud(rng, size, 3)
    return x, y


def _body(rng, x, y):
    """Torso, neck and upper arms: 1 inside, 0 in the air around."""
    outward = np.abs(x)
    half_width = rng.uniform(0.86, 1.02) - 0.12 * _step(-0.5 - y, 0.5)
    shoulder = rng.uniform(0.84, 0.9) - 0.3 * outward * outward
    torso = _step(half_width - outward, 0.06) * _step(y + shoulder, 0.06)
    neck = 0.85 * _step(rng.uniform(0.24, 0.3) - 0.35 * (y + 1) ** 2 - outward, 0.08) * _step(-0.3 - y, 0.4)
    arms = _step(outward - rng.uniform(0.86, 1.1), 0.05) * _step(y + 0.45, 0.2) * 0.7
    return np.maximum(np.maximum(torso, neck), arms)


def _lungs(rng, x, y):
    """Mask and depth of the air, closeness to the outer lung edge, closeness to the hila; all 0 to 1."""
    mask, depth, edge = (np.zeros_like(x) for _ in range(3))
    hila = np.zeros_like(x)
    top, reach = rng.uniform(-0.78, -0.7), rng.uniform(0.25, 0.28)
    for side in (-1, 1):
        centre = side * rng.uniform(0.38, 0.43)
        floor = rng.uniform(0.36, 0.52) + (0.06 if side == 1 else 0.0)  # the liver lifts the right half
        t = np.clip((y - top) / (floor + 0.15 - top), 0, 1)
        half = rng.uniform(0.29, 0.34) * np.sqrt(1 - (1 - t) * (1 - t)) * (0.86 + 0.2 * t)
        across = (x - centre) * side / np.maximum(half, 1e-3)  # -1 at the mediastinum, 1 at the chest wall
        dome = floor - 0.16 * np.exp(-(((x - centre + side * 0.05) / 0.22) ** 2)) + 0.12
        inside = _step(1 - np.abs(across), 0.16) * _step(dome - y, 0.04) * _step(y - top, 0.06)
        mask = np.maximum(mask, inside)
        depth = np.maximum(depth, inside * np.sqrt(np.clip(1.15 - across * across, 0.1, 1)))
        edge = np.maximum(edge, inside * np.clip(across * 0.9 + 0.35, 0, 1))
        hilum_x, hilum_y = side * rng.uniform(0.16, 0.2), rng.uniform(-0.12, 0.0)
        hila = np.maximum(hila, np.exp(-_distance(x - hilum_x, (y - hilum_y) * 0.8) / reach))
    return mask, depth, edge, hila


def _heart(rng, x, y):
    """Heart, aortic arch and the band of vessels and windpipe above it."""
    lean, width, height = rng.uniform(0.3, 0.7), rng.uniform(0.26, 0.38), rng.uniform(0.3, 0.38)
    cos, sin = math.cos(lean), math.sin(lean)
    dx, dy = x - rng.uniform(0.08, 0.16), y - rng.uniform(0.16, 0.26)
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    heart = _step(1 - _distance(along / width, across / height), 0.22)
    arch = _step(1 - _distance((x - 0.1) / 0.1, (y + 0.32) / 0.12), 0.4) * 0.8
    band = _step(rng.uniform(0.12, 0.17) - np.abs(x - 0.01), 0.06) * _step(0.6 - y, 0.3) * 0.75
    windpipe = np.exp(-(((x + 0.01) / 0.035) ** 2)) * _step(-0.2 - y, 0.1) * 0.35
    return np.maximum(np.maximum(heart, arch), band) - windpipe


def _ribs(rng, x, y):
    """Ten pairs of ribs: arcs behind, falling outwards, and fainter ones in front, falling inwards."""
    ribs = np.zeros_like(x)
    outward = np.abs(x)
    gap, first = rng.uniform(0.125, 0.15), rng.uniform(-0.8, -0.72)
    slope, curve, thick = rng.uniform(0.1, 0.3), rng.uniform(0.35, 0.6), rng.uniform(0.02, 0.028)
    behind = y - slope * outward - curve * np.maximum(outward - 0.15, 0) ** 2 - first
    front = y + rng.uniform(0.3, 0.5) * outward - first - rng.uniform(0.55, 0.75)
    for along, strength, limits in ((behind, 1.0, (0.06, 0.84)), (front, 0.55, (0.3, 0.82))):
        number = np.clip(np.rint(along / gap), 0, 9)
        away = np.abs(along - number * gap) / thick
        profile = np.exp(-np.square(away * away)) * (
            0.75 + 0.25 * np.exp(-((away - 0.9) ** 2) * 8)
        )  # a tube: its rim absorbs more
        ribs += strength * profile * _step(outward - limits[0], 0.04) * _step(limits[1] - outward, 0.1)
    return ribs


def _spine_and_clavicles(rng, x, y):
    pitch, phase = rng.uniform(0.13, 0.16), rng.uniform(0, 1)
    vertebrae = 0.75 + 0.25 * np.tanh(4 * np.cos(2 * np.pi * (y / pitch + phase)))
    spine = _step(rng.uniform(0.075, 0.1) - np.abs(x), 0.03) * vertebrae * rng.uniform(0.1, 0.18)
    rise, start = rng.uniform(0.02, 0.2, 2), rng.uniform(-0.66, -0.58)
    outward = np.abs(x)
    left, right = rise.astype(np.float32)
    middle = start - np.where(x < 0, left, right) * outward + 0.05 * np.sin(outward * 7)
    clavicles = (
        np.exp(-np.square(np.square((y - middle) / 0.035))) * _step(outward - 0.07, 0.03) * _step(0.72 - outward, 0.1)
    )
    return spine + clavicles * rng.uniform(0.1, 0.17)


def _vessels(rng, size, hila):
    lines = 1 - np.abs(_cloud(rng, size, 14)) * 3.5
    return np.maximum(lines, 0) * hila * 1.6 + 0.5 * hila**2


def _patches(rng, x, y, size, edge):
    """Two to four soft blobs in each lung, with frayed edges, where `edge` is high."""
    haze = np.zeros_like(x)
    for side in (-1, 1):
        for _ in range(rng.integers(2, 5)):
            cx, cy = side * rng.uniform(0.42, 0.7), min(rng.normal(0.14, 0.24), 0.45)
            rx, ry = rng.uniform(0.09, 0.22, 2).tolist()
            blob = 1.6 * np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2) * rng.uniform(0.6, 1.1)
            haze = np.maximum(haze, blob)
    frayed = _step(haze + 0.8 * _cloud(rng, size, 12) - 0.35, 0.5)
    return np.minimum(haze, 1) * frayed * (0.35 + 0.65 * edge) * (1 + 0.5 * _cloud(rng, size, 40))


def _net(rng, size, hila):
    """Crossing fine lines, the zero lines of two random fields, thick near the hila."""
    lines = [np.maximum(1 - np.abs(_cloud(rng, size, cells)) * 5, 0) for cells in (22, 34)]
    return (np.maximum(*lines) - 0.12) * np.minimum(1.5 * hila, 1) * (1 + 0.4 * _cloud(rng, size, 6))


def _marker(rng, shape):
    """The side letter that technicians lay on the film: a bright L, in one of the upper corners, or none."""
    marker = np.zeros(shape, np.float32)
    if rng.random() < 0.6:
        height, width = shape
        top, left = int(height * rng.uniform(0.04, 0.12)), int(width * (0.06, 0.88)[rng.integers(2)])
        tall, wide = max(2, height // 20), max(2, width // 32)
        stroke = max(1, width // 110)
        marker[top : top + tall, left : left + stroke] = 1
        marker[top + tall - stroke : top + tall, left : left + wide] = 1
    return marker * 0.95


def _exposed(rng, film, size):
    """Window, gamma, uneven exposure, scatter and grain; to uint8."""
    low, high = rng.uniform(0.0, 0.1), rng.uniform(0.72, 0.98)
    film = np.clip((film - low) / (high - low), 0, 1) ** rng.uniform(0.75, 1.35)
    film = film * rng.uniform(0.75, 1.0) + rng.uniform(0.0, 0.1) + 0.08 * _cloud(rng, size, 3)
    for _ in range(rng.integers(0, 3)):  # motion and the size of the focus blur
        film = _smoothed(film)
    grain = rng.standard_normal(film.shape, np.float32)
    film = film + rng.uniform(0.008, 0.035) * (0.6 * grain + 0.9 * _smoothed(grain))
    return np.rint(np.clip(film, 0, 1) * 255).astype(np.uint8)


def _distance(x, y):
    return np.sqrt(x * x + y * y)


def _smoothed(image):
    """Binomial filter (1 2 1)/4 along both axes."""
    padded = np.pad(image, 1, mode="edge")
    rows = 0.25 * (padded[:-2] + padded[2:]) + 0.5 * padded[1:-1]
    return 0.25 * (rows[:, :-2] + rows[:, 2:]) + 0.5 * rows[:, 1:-1]


def _step(distance, softness):
    """0 below -softness/2, 1 above softness/2, a smooth cubic between."""
    t = distance * np.float32(1 / softness)
    t += np.float32(0.5)
    np.maximum(t, 0, out=t)
    np.minimum(t, 1, out=t)
    smooth = t * -2
    smooth += 3
    smooth *= t
    smooth *= t
    return smooth


def _cloud(rng, size, cells):
    """A smooth random field of `size`, nearly all within -1 to 1, with `cells` bumps along each side.

    Random heights on a grid, interpolated by cubic B-splines: unlike bilinear noise it shows no grid.
    """
    field = rng.standard_normal((cells + 3, cells + 3), np.float32)
    for axis, length in enumerate(size):
        position = (np.arange(length, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / length)
        cell = position.astype(np.int32)
        t = position - cell.astype(np.float32)
        weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
        along = (slice(None), None) if axis == 0 else (None, slice(None))
        field = sum(np.take(field, cell + k, axis) * (weights[k] / 6)[along] for k in range(4))
    return field
