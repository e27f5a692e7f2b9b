"""What may have gone wrong, told from a wrong array and the right one: a suspicion with its evidence, or nothing."""

from collections.abc import Iterator, Mapping
from itertools import chain, combinations, permutations

import numpy as np

Array = np.ndarray
TOLERANCE = 1e-5  # of the largest number; central differences are good to about 1e-7


def suspicion(
    wrong: Array,
    right: Array,
    terms: Array | None = None,
    upstream: Array | None = None,
    counts: Mapping[str, int] | None = None,
) -> str | None:
    """The likely cause of a wrong gradient, if its pattern tells: what a known fault makes of the right one equals it.

    Faults tried, in this order: all zero, a constant factor (the sign among them), axes exchanged, an axis reversed,
    shifted by one or two places; a factor for each index of an axis, one index of an axis that is wrong alone, one
    number added everywhere; an upstream gradient handed on as it is; and with `terms` a sum of which only the first
    or the last term is there, or not there, terms that overwrite one another, windows turned around, an upstream
    gradient that is not used.

    Parameters
    ----------
    wrong, right : ndarray
        NaN in `right` stands for what is not known.
    terms : ndarray, shape ``(*right.shape, *y.shape)``, optional
        The share of each output in each gradient: their sum over the outputs is `right`.
    upstream : ndarray, shape ``y.shape``, optional
        The gradient with respect to the outputs, a factor in `terms`.
    counts : mapping of str to int, optional
        Sizes by which a gradient may have been multiplied or divided, with their names: ``{"images": 4}``.

    Returns
    -------
    str or None
        None if nothing fits: most wrong gradients are wrong in their own way.

    Examples
    --------
    >>> right = np.array([[1.0, 2.0], [5.0, 7.0]])
    >>> suspicion(-right, right)
    'wrong sign: it is minus the right one throughout'
    >>> suspicion(4 * right, right, counts={"images": 4})
    'scaled: it is 4 times the right one throughout, and there are 4 images'
    >>> suspicion(right.T, right)
    'transposed: it equals the right one with its axes in the order (1, 0)'
    >>> suspicion(right + [[0, 0], [0, 1]], right) is None
    True
    """
    near = TOLERANCE * np.abs(wrong[np.isfinite(wrong)]).max(initial=0)
    if wrong.shape == right.shape:  # what explains a small error must be nearer than that
        error = np.nanmax(np.abs(wrong - right), initial=0)
        if error == 0:
            return None
        near = min(near, error / 100)
        if found := _factor(wrong, right, counts or {}, near):
            return found
    candidates = chain(
        _moved(wrong.shape, right) if right.size > 1 else (),
        _by_index(wrong, right, near) if wrong.shape == right.shape else (),
        []
        if upstream is None
        else [("it is the upstream gradient itself: the layer's own slope is missing", upstream)],
        () if terms is None else _shares(terms, right, upstream),
    )
    return next((text for text, made in candidates if _same(wrong, made, near)), None)


def _same(wrong: Array, made: Array, near: float) -> bool:
    """Whether both agree wherever they are known."""
    if wrong.shape != made.shape:
        return False
    known = np.isfinite(wrong) & np.isfinite(made)
    return bool(known.any() and np.all(np.abs(wrong - made)[known] <= near))


def _factor(wrong: Array, right: Array, counts: Mapping[str, int], near: float) -> str | None:
    known = np.isfinite(right)
    a, b = wrong[known], right[known]
    if not b.any():
        return None
    if not a.any():
        return "nothing there: it is 0 throughout and should not be; was it never written?"
    k = float(np.vdot(a, b) / np.vdot(b, b))
    if not _same(a, k * b, near) or abs(k - 1) < TOLERANCE:
        return None
    if abs(k + 1) < TOLERANCE:
        return "wrong sign: it is minus the right one throughout"
    whole = abs(1 / k - round(1 / k)) < TOLERANCE and abs(k) < 1
    text = f"scaled: it is {f'1/{round(1 / k)} of' if whole else f'{k:.5g} times'} the right one throughout"
    for what, count in counts.items():
        if count > 1 and min(abs(k / count - 1), abs(k * count - 1)) < TOLERANCE:
            return f"{text}, and there are {count} {what}"
    return text if np.count_nonzero(b) > 1 else None


def _moved(shape: tuple[int, ...], right: Array) -> Iterator[tuple[str, Array]]:
    """The right numbers at other places."""
    axes = range(right.ndim)
    for order in list(permutations(axes))[1:]:
        made = right.transpose(order)
        if made.shape == shape:
            yield f"transposed: it equals the right one with its axes in the order {order}", made
        elif made.size == np.prod(shape):
            yield f"axes mixed up: it equals the right one transposed to {order}, then reshaped", made.reshape(shape)
    for count in range(1, right.ndim + 1):
        for some in combinations(axes, count):
            if all(right.shape[axis] > 1 for axis in some):
                where = "axis" if count == 1 else "axes"
                yield f"reversed: it equals the right one flipped along {where} {_list(some)}", np.flip(right, some)
    for axis in axes:
        for steps in (1, -1, 2, -2):
            if right.shape[axis] > abs(steps) + 1:
                made = np.roll(right, steps, axis)
                edge = slice(None, steps) if steps > 0 else slice(steps, None)
                made[(slice(None),) * axis + (edge,)] = np.nan  # what was shifted in is anybody's guess
                if np.unique(made[np.isfinite(made) & (made != 0)]).size > 1:
                    way = "later" if steps > 0 else "earlier"
                    yield f"off by {abs(steps)}: along axis {axis} each number stands {abs(steps)} {way}", made


def _by_index(wrong: Array, right: Array, near: float) -> Iterator[tuple[str, Array]]:
    """Faults that depend on the index along one axis alone, such as one of each channel."""
    known = np.isfinite(right) & np.isfinite(wrong)
    a, b = np.where(known, wrong, 0), np.where(known, right, 0)
    apart = np.abs(a - b) > near
    for axis in range(right.ndim if right.ndim > 1 else 0):
        rest = tuple(other for other in range(right.ndim) if other != axis)
        count = known.sum(axis=rest)  # of known numbers at each index
        at = np.flatnonzero(apart.any(axis=rest))
        if len(count) > 2 and len(at) == 1 and 2 * apart.sum() > max(count[at[0]], 2):
            made = right.copy()
            np.moveaxis(made, axis, 0)[at] = np.moveaxis(wrong, axis, 0)[at]
            what = "0 there" if not a.take(at, axis).any() else "right elsewhere"
            yield f"wrong at index {at[0]} of axis {axis} alone, of {len(count)}: it is {what}", made
        if ((b != 0).sum(axis=rest) > 1).all():
            factors = (a * b).sum(axis=rest, keepdims=True) / (b * b).sum(axis=rest, keepdims=True)
            told = ", ".join(f"{factor:.4g}" for factor in factors.ravel()[:4]) + ", ..." * (factors.size > 4)
            yield f"scaled by another factor at each index of axis {axis}: {told} times the right one", factors * right
        if (count > 2).all():
            more = ((a - b).sum(axis=rest) / count).reshape(-1, *[1] * (right.ndim - 1))
            made = right + np.moveaxis(more, 0, axis)
            yield f"shifted: one number for each index of axis {axis} is added; is a mean not subtracted?", made


def _shares(terms: Array, right: Array, upstream: Array | None) -> Iterator[tuple[str, Array]]:
    """What comes out if not all outputs' shares are added up, or not with the upstream gradient."""
    outputs = tuple(range(right.ndim, terms.ndim))
    for axis in outputs:
        for index, which in ((-1, "last"), (0, "first")):
            if terms.shape[axis] > 1:
                what = "images" if axis == right.ndim else f"the outputs' axis {axis - right.ndim}"
                made = terms.take([index], axis).sum(axis=outputs)
                yield f"a sum over {what} is missing: it equals the share of the {which} one alone", made
                if terms.shape[axis] > 2:
                    others = terms.sum(axis=outputs) - made
                    yield f"the {which} of {what} is left out: it equals the sum over the others", others
    if len(outputs) > 1:
        pixels = terms.sum(axis=-1).reshape(*right.shape, -1)  # (*right.shape, output pixels)
        there = np.abs(pixels) > 1e-9 * np.abs(pixels).max(initial=0)
        for which, seen in (("last", pixels[..., ::-1]), ("first", pixels)):
            first = (there[..., ::-1] if which == "last" else there).argmax(axis=-1)[..., None]
            made = np.take_along_axis(seen, first, axis=-1)[..., 0]
            yield f"windows overwrite one another, = for +=: it equals the share of the {which} output of each", made
    if len(outputs) > 2:
        for place, which in ((-1, "last"), (0, "first")):
            made = terms
            for axis in outputs[1:-1]:
                made = made.take([place], axis)
            what = f"it equals the share of the {which} one of each image"
            yield f"a sum over output pixels is missing: {what}", made.sum(axis=outputs)
    if right.ndim > 2:
        yield (
            "the kernel is turned around: it equals each output's share flipped within its window",
            _turned(terms, right),
        )
    if upstream is not None and upstream.ndim and np.all(upstream != 0):
        made = (terms / upstream).sum(axis=outputs)
        yield "the upstream gradient is not used: it equals the gradient for an upstream of ones", made


def _turned(terms: Array, right: Array) -> Array:
    """The sum of all shares, each flipped within the window that it fills; NaN where the edge cuts windows off."""
    axes = tuple(range(1, right.ndim - 1))
    shares = np.moveaxis(terms.reshape(*right.shape, -1), -1, 0)
    there = np.abs(shares) > 1e-9 * np.abs(shares).max(initial=0)
    boxes = []
    for one in there:
        places = np.argwhere(one)
        if len(places):
            low, high = places.min(axis=0), places.max(axis=0) + 1
            boxes.append((tuple(map(slice, low, high)), tuple((high - low)[1:-1])))
        else:
            boxes.append(((slice(0),) * right.ndim, ()))
    window = max((size for _, size in boxes), default=())
    made = np.zeros(right.shape)
    for share, (box, size) in zip(shares, boxes, strict=True):
        made[box] += np.flip(share[box], axes) if size == window else np.nan
    return made


def _list(axes: tuple[int, ...]) -> str:
    return " and ".join(map(str, axes))
