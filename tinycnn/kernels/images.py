"""Images, 8-bit or float32: one affine warp with blur, exposure and noise; of 8-bit ones, equalising and scaling."""

import math
from typing import NamedTuple

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.dropout import split_mix
from tinycnn.kernels.sweep import TASK
from tinycnn.kernels.tasks import tasks

BANDS = 8  # tasks per image: enough to balance the cores over a batch of one
CONSTANT, NEAREST, REFLECT = 0, 1, 2


@inlined
def _bell(key, i):
    """Nearly a standard normal number: the sum of four uniform ones (Irwin-Hall), 16 bits each; never beyond 3.47."""
    bits = split_mix(key, i)
    low = np.uint64(0xFFFF)
    total = (bits & low) + ((bits >> np.uint64(16)) & low) + ((bits >> np.uint64(32)) & low) + (bits >> np.uint64(48))
    return (np.float32(np.int64(total)) - np.float32(131070.0)) * np.float32(2.6428967e-05)  # sqrt(3) / 65536


@inlined
def _inside(i, size, border):
    """Index i of an axis of `size`, brought inside; -1 where a constant stands outside."""
    if 0 <= i < size:
        return i
    if border == CONSTANT:
        return -1
    if border == NEAREST:
        return 0 if i < 0 else size - 1
    i %= 2 * size
    return i if i < size else 2 * size - 1 - i


@inlined
def _pixel(image, y, x, c, fill):
    return np.float32(image[y, x, c]) if y >= 0 and x >= 0 else fill


@inlined
def _blend(a, b, c, d, dy, dx):
    """Bilinear between a, b (above) and c, d (below)."""
    top = a + dx * (b - a)
    bottom = c + dx * (d - c)
    return top + dy * (bottom - top)


class Warp(NamedTuple):
    """How `warp_images` changes n images."""

    matrices: np.ndarray
    """float32 ``(n, 2, 3)``: from a pixel (y, x) of the result to its place in the source."""
    levels: np.ndarray
    """float32 ``(n, 3)``: gain, offset, and the standard deviation of the noise."""
    keys: np.ndarray
    """uint64 ``(n,)``: noise is a hash of the key and the pixel's number, one for all channels."""
    border: int
    """What stands outside the source: `CONSTANT`, a fill; `NEAREST`, its pixel there; `REFLECT`, its mirror image."""
    fills: np.ndarray
    """float32 ``(n,)``."""
    ramps: np.ndarray
    """float32 ``(n, 2)``: slope along y and x."""
    blurs: np.ndarray
    """float32 ``(n,)``: share of the blurred image."""


@jit
def _warp_row(image, n, y, how, row):
    """Row y of image n, warped and with its ramp, float32 (width * channels,)."""
    m, fill, border = how.matrices[n], how.fills[n], how.border
    ramp_y, ramp_x = how.ramps[n, 0], how.ramps[n, 1]
    height, width, channels = image.shape
    flat = image.reshape(-1)
    down, right = np.uintp(width * channels), np.uintp(channels)
    start_y = m[0, 0] * np.float32(y) + m[0, 2]
    start_x = m[1, 0] * np.float32(y) + m[1, 2]
    # from -1 at one edge to 1 at the other; an axis of one pixel has no slope
    shift = ramp_y * np.float32(2 * y - height + 1) / np.float32(max(height - 1, 1))
    ramp_x /= np.float32(max(width - 1, 1))
    for x in range(width):
        from_y = start_y + m[0, 1] * np.float32(x)
        from_x = start_x + m[1, 1] * np.float32(x)
        y0, x0 = np.int64(math.floor(from_y)), np.int64(math.floor(from_x))
        dy, dx = from_y - np.float32(y0), from_x - np.float32(x0)
        lift = shift + ramp_x * np.float32(2 * x - width + 1)
        at = np.uintp(x * channels)
        if 0 <= y0 < height - 1 and 0 <= x0 < width - 1:
            # unsigned offsets: numba would otherwise test each for a negative, from-the-end index
            i = np.uintp((y0 * width + x0) * channels)
            for _ in range(channels):
                a, b = np.float32(flat[i]), np.float32(flat[i + right])
                below = i + down
                row[at] = lift + _blend(a, b, np.float32(flat[below]), np.float32(flat[below + right]), dy, dx)
                i += np.uintp(1)
                at += np.uintp(1)
        else:
            y1, x1 = _inside(y0 + 1, height, border), _inside(x0 + 1, width, border)
            y0, x0 = _inside(y0, height, border), _inside(x0, width, border)
            for c in range(channels):
                a, b = _pixel(image, y0, x0, c, fill), _pixel(image, y0, x1, c, fill)
                value = _blend(a, b, _pixel(image, y1, x0, c, fill), _pixel(image, y1, x1, c, fill), dy, dx)
                row[at] = lift + value
                at += np.uintp(1)


@jit
def _warp(worker, images, out, how, to_bytes, counter):
    how = Warp(*how)
    count, height, width, channels = images.shape
    rows = np.empty((height // BANDS + 3, width * channels), np.float32)  # a band, and one more row at either side
    zero, full, half = np.float32(0), np.float32(255), np.float32(0.5)
    for task in tasks(counter, count * BANDS):
        n, band = task // BANDS, task % BANDS
        gain, offset, sigma, blur = how.levels[n, 0], how.levels[n, 1], how.levels[n, 2], how.blurs[n]
        first, last = band * height // BANDS, (band + 1) * height // BANDS
        beyond = 1 if blur > 0 and first < last else 0
        top, bottom = max(first - beyond, 0), min(last + beyond, height)
        for y in range(top, bottom):
            _warp_row(images[n], n, y, how, rows[y - top])
        for y in range(first, last):
            row = rows[y - top]
            above, below = rows[max(y - 1, 0) - top], rows[min(y + 1, height - 1) - top]
            for x in range(width):
                shift = offset
                if sigma > 0:
                    shift += sigma * _bell(how.keys[n], y * width + x)
                for c in range(channels):
                    i = x * channels + c
                    value = row[i]
                    if blur > 0:
                        left = i - channels if x > 0 else i
                        right = i + channels if x < width - 1 else i
                        total = above[left] + above[i] + above[right] + row[left] + row[i] + row[right]
                        total += below[left] + below[i] + below[right]
                        value += blur * (total / np.float32(9) - value)
                    value = gain * value + shift
                    if to_bytes:
                        value = min(max(value, zero), full) + half  # cut off by the conversion to an integer
                    out[n, y, x, c] = value


@runtime.locked
def warp_images(images: np.ndarray, out: np.ndarray, how: Warp) -> None:
    """Affine warp, ramp, blur, exposure and noise of images, into `out`.

    ``out[n, y, x] = gain * blurred(y, x) + offset + sigma * normal``, where ``gain, offset, sigma = levels[n]``;
    ``blurred = (1 - blurs[n]) * warped + blurs[n] * mean of warped over 3x3 pixels``, the nearest ones at the edges;
    ``warped(y, x) = source(matrices[n] @ (y, x, 1)) + ramps[n] @ (y, x scaled to -1..1)``, bilinear between pixels.
    Bytes are rounded and cut to 0..255.

    Parameters
    ----------
    images, out : ndarray of uint8 or float32, (n, h, w, c)
        Of one dtype; must not overlap.
    how : Warp
    """
    runtime.run(_warp, images, out, how, out.dtype == np.uint8, runtime.task_counter())


@jit
def _tile_table(image, top, bottom, left, right, clip_limit, table):
    """Grey level -> equalised grey level, from the histogram of one tile."""
    histogram = np.zeros(256)
    for y in range(top, bottom):
        for x in range(left, right):
            for c in range(image.shape[2]):
                histogram[image[y, x, c]] += 1
    total = histogram.sum()
    limit = clip_limit * total / 256
    excess = 0.0
    for level in range(256):
        if histogram[level] > limit:
            excess += histogram[level] - limit
            histogram[level] = limit
    first = 0.0  # pixels of the darkest level present: it becomes 0
    summed = 0.0
    for level in range(256):
        count = histogram[level] + excess / 256
        if first == 0.0:
            first = count
        summed += count
        table[level] = (summed - first) / (total - first) * 255 if total > first else level


@jit
def _equalize(worker, images, out, tiles, clip_limit, counter):
    count, height, width, channels = images.shape
    tables = np.empty((tiles, tiles, 256), np.float32)
    for n in tasks(counter, count):
        image = images[n]
        for i in range(tiles):
            for j in range(tiles):
                top, bottom = i * height // tiles, (i + 1) * height // tiles
                left, right = j * width // tiles, (j + 1) * width // tiles
                _tile_table(image, top, bottom, left, right, clip_limit, tables[i, j])
        for y in range(height):
            at_y = min(max((np.float32(y) + np.float32(0.5)) / height * tiles - np.float32(0.5), 0.0), tiles - 1.0)
            i0 = int(at_y)
            i1, dy = min(i0 + 1, tiles - 1), at_y - i0
            for x in range(width):
                at_x = min(max((np.float32(x) + np.float32(0.5)) / width * tiles - np.float32(0.5), 0.0), tiles - 1.0)
                j0 = int(at_x)
                j1, dx = min(j0 + 1, tiles - 1), at_x - j0
                for c in range(channels):
                    level = image[y, x, c]
                    top = tables[i0, j0, level] * (1 - dx) + tables[i0, j1, level] * dx
                    bottom = tables[i1, j0, level] * (1 - dx) + tables[i1, j1, level] * dx
                    out[n, y, x, c] = np.uint8(top * (1 - dy) + bottom * dy + 0.5)


@runtime.locked
def equalize_images(images: np.ndarray, out: np.ndarray, tiles: int, clip_limit: float) -> None:
    """Histogram equalisation of uint8 images (n, h, w, c) in ``tiles x tiles`` tiles, into `out`.

    One histogram serves all channels, so grey stays grey. `clip_limit`, in multiples of a flat histogram's count, may
    be infinite. ``tiles`` must not exceed height or width.
    """
    runtime.run(_equalize, images, out, tiles, float(clip_limit), runtime.task_counter())


@jit
def _scale_u8(worker, images, out, scale, counter):
    for task in tasks(counter, -(-out.size // TASK)):
        for i in range(task * TASK, min((task + 1) * TASK, out.size)):
            out[i] = images[i] * scale


@runtime.locked
def scale_u8(images: np.ndarray, out: np.ndarray, scale: float) -> None:
    """``out[...] = images * scale`` for 8-bit images and a float array of the same shape."""
    check("scale_u8", out=(out, out.shape), images=(images, out.shape, np.uint8))
    runtime.run(_scale_u8, images.reshape(-1), out.reshape(-1), out.dtype.type(scale), runtime.task_counter())
