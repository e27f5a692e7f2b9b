"""Kernels on arrays that end, or begin, at a page nobody may touch: one number too far and the process dies.

Each case runs in a forked copy of this process, with random shapes, and is compared with the reference set.
"""

import ctypes
import mmap

import numpy as np
from campaign_tools import in_a_child

from tinycnn.kernels.geometry import Geometry
from tinycnn.kernels.sets import SETS, set_kernels

COUNT = 2000
PAGE = mmap.PAGESIZE
NAMES = ["fast", "im2col"]
LIBC = ctypes.CDLL(None, use_errno=True)
TOLERANCES = {"float64": 1e-10, "float32": 2e-5}


def prepare(folder):
    kernels = {name: make() for name, make in SETS.items()}
    for case in range(150):  # in this process, so that not every copy of it compiles anew
        run(kernels, np.random.default_rng([1, case]), guarded=False)
    return kernels


def attack(kernels, rng):
    wrong = in_a_child(lambda: run(kernels, rng, guarded=True))
    assert wrong is None, wrong


def run(kernels, rng, guarded):
    """One kernel on random arrays by each set; what differs from the reference, or None."""
    name = NAMES[rng.integers(len(NAMES))]
    case = CASES[rng.integers(len(CASES))]
    dtype = str(rng.choice(list(TOLERANCES)))
    ends = bool(rng.integers(2))
    function, read, written, call = case(rng)
    read = [
        array if array is None else array.astype(dtype if array.dtype.kind == "f" else array.dtype) for array in read
    ]
    written = [array.astype(dtype if array.dtype.kind == "f" else array.dtype) for array in written]
    expected = [array.copy() for array in written]
    with set_kernels("reference"):
        call(getattr(kernels["reference"], function), read, expected)
    if guarded:
        read, written = ([at_guard(array, ends) for array in arrays] for arrays in (read, written))
    with set_kernels(name):
        call(getattr(kernels[name], function), read, written)
    for place, (a, b) in enumerate(zip(written, expected, strict=True)):
        scale = max(np.abs(b).max(initial=0), 1)
        if not np.abs(a.astype(float) - b.astype(float)).max(initial=0) <= TOLERANCES[dtype] * scale:
            shapes = [array if array is None else array.shape for array in read]
            return f"{name}: result {place} of {function} on {shapes} {dtype} differs from the reference"
    return None


def of_type(array, dtype):
    """Arrays of floats in the type that the case runs in; codes as they are."""
    return array.astype(dtype) if array is not None and array.dtype.kind == "f" else array


def at_guard(array, ends):
    """A copy of `array` whose last byte, or else first, lies beside a page that kills whoever touches it."""
    if array is None:
        return None
    pages = -(-array.nbytes // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, pages + 1):
        if LIBC.mprotect(ctypes.c_void_p(start + page * PAGE), PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = (pages + 1) * PAGE - array.nbytes if ends else PAGE
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


def normal(rng, *shape):
    return rng.normal(size=shape)


def convolution(rng):
    groups = int(rng.choice([1, 1, 1, 2, 4, 5, 17]))
    each = [1] if groups > 4 else [1, 2, 3, 8, 16, 17, 32]  # the former: depthwise
    filters, channels = (groups * int(rng.choice(each)) for _ in range(2))
    window, plain = tuple(rng.integers(1, 5, 2).tolist()), rng.integers(2)
    strides, dilation = ((1, 1), (1, 1)) if plain else (tuple(rng.integers(1, 4, 2).tolist()) for _ in range(2))
    pads = tuple(tuple(min(n, k - 1) for n in rng.integers(0, 3, 2).tolist()) for k in window)
    least = [max(1, d * (k - 1) + 1 - sum(p)) for d, k, p in zip(dilation, window, pads, strict=True)]
    size = [int(n + rng.integers(0, 9)) for n in least]
    geometry = Geometry(window, strides, pads, dilation, groups)
    images = int(rng.integers(1, 4))
    x, kernel = normal(rng, images, *size, channels), normal(rng, *window, channels // groups, filters)
    return geometry, x, kernel, normal(rng, images, *geometry.output_size(*size), filters)


def conv_forward(rng):
    geometry, x, kernel, y = convolution(rng)
    bias, relu = normal(rng, y.shape[3]) if rng.integers(2) else None, bool(rng.integers(2))
    return "conv_forward", [x, kernel, bias], [y], lambda f, r, w: f(*r, geometry, w[0], relu, None)


def conv_backward(rng):
    geometry, x, kernel, grad = convolution(rng)
    written = [np.zeros_like(x), np.zeros_like(kernel), np.zeros(grad.shape[3])]
    return "conv_backward", [x, kernel, grad], written, lambda f, r, w: f(*r, geometry, *w, None)


def pooled(rng):
    """Images, 2x2 pooled or as pixels of blocks, and what both are of."""
    rows, columns, images, channels = (int(n) for n in rng.integers(1, [9, 20, 4, 35]))
    odd = rng.integers(0, 2, 2).tolist()
    small = normal(rng, images, rows, columns, channels)
    return small, normal(rng, images, 2 * rows + odd[0], 2 * columns + odd[1], channels)


def pooling(rng):
    """Outputs and images of a pooling layer, and its geometry; mostly of any, sometimes of 2x2 windows side by side."""
    if rng.integers(3) == 0:
        return *pooled(rng), (2, 2, 2, 2, 0, 0)
    window, strides = rng.integers(1, 4, 2).tolist(), rng.integers(1, 4, 2).tolist()
    pads = [int(rng.integers(0, k)) for k in window]
    size = [k + int(rng.integers(0, 9)) for k in window]
    channels, images = int(rng.choice([1, 3, 6, 8, 16, 17, 24, 35])), int(rng.integers(1, 4))
    outputs = ((n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, pads, window, strides, strict=True))
    y = normal(rng, images, *outputs, channels)
    return y, normal(rng, images, *size, channels), (*window, *strides, *pads)


def maxpool_forward(rng):
    y, x, geometry = pooling(rng)
    written = [np.zeros_like(y), np.zeros(y.shape, np.uint8)]
    return "maxpool_forward", [x], written, lambda f, r, w: f(r[0], geometry, *w)


def maxpool_backward(rng):
    y, x, geometry = pooling(rng)
    codes = np.zeros(y.shape, np.uint8)
    SETS["reference"]().maxpool_forward(x, geometry, np.zeros_like(y), codes)
    dead = rng.random(y.shape) < 0.1
    codes[dead] = geometry[0] * geometry[1]
    return "maxpool_backward", [y, codes], [x], lambda f, r, w: f(*r, geometry, *w)


def avgpool_forward(rng):
    y, x, geometry = pooling(rng)
    return "avgpool_forward", [x], [y], lambda f, r, w: f(r[0], geometry, *w)


def avgpool_backward(rng):
    y, x, geometry = pooling(rng)
    return "avgpool_backward", [y], [x], lambda f, r, w: f(r[0], geometry, *w)


def upsample(rng):
    x, _ = pooled(rng)
    size = tuple(rng.integers(1, 4, 2).tolist())
    y = np.zeros((len(x), x.shape[1] * size[0], x.shape[2] * size[1], x.shape[3]))
    if rng.integers(2):
        return "upsample_forward", [x], [y], lambda f, r, w: f(*r, size, *w)
    return "upsample_backward", [y], [x], lambda f, r, w: f(*r, size, *w)


def dense_forward(rng):
    images, inputs, units = (int(n) for n in rng.integers(1, [9, 300, 40]))
    bias = normal(rng, units) if rng.integers(2) else None
    arrays = [normal(rng, images, inputs), normal(rng, inputs, units), bias]
    return "dense_forward", arrays, [np.zeros((images, units))], lambda f, r, w: f(*r, *w)


def dense_backward(rng):
    images, inputs, units = (int(n) for n in rng.integers(1, [9, 300, 40]))
    arrays = [normal(rng, images, inputs), normal(rng, inputs, units), normal(rng, images, units)]
    written = [np.zeros((images, inputs)), np.zeros((inputs, units))]
    return "dense_backward", arrays, written, lambda f, r, w: f(*r, *w)


def normalize(rng):
    rows, channels = int(rng.integers(1, 200)), int(rng.integers(1, 40))
    arrays = [normal(rng, rows, channels), *(normal(rng, channels) for _ in range(3))]
    relu = bool(rng.integers(2))
    return "normalize", arrays, [np.zeros((rows, channels))], lambda f, r, w: f(*r, *w, relu)


def norm_input_gradient(rng):
    rows, channels = int(rng.integers(1, 200)), int(rng.integers(1, 40))
    arrays = [normal(rng, rows, channels), normal(rng, rows, channels), *(normal(rng, channels) for _ in range(5))]
    beta = rng.integers(2)
    call = lambda f, r, w: f(*r[:6], *w, r[6] if beta else None)  # noqa: E731
    return "norm_input_gradient", arrays, [np.zeros((rows, channels))], call


def relu_backward(rng):
    size = int(rng.integers(1, 5000))
    return "relu_backward", [normal(rng, size), normal(rng, size)], [np.zeros(size)], lambda f, r, w: f(*r, *w)


def sgd_step(rng):
    size = int(rng.integers(1, 5000))
    arrays = [normal(rng, size), normal(rng, size)]
    return "sgd_step", [normal(rng, size)], arrays, lambda f, r, w: f([(w[0], r[0], w[1])], [0.0], 0.1, 0.9, True, 1.0)


def adam_step(rng):
    sizes = rng.integers(0, 300, 3)
    written = [normal(rng, int(size)) ** 2 for size in sizes for _ in range(3)]  # param, m, v of each
    grads = [normal(rng, int(size)) for size in sizes]

    def call(f, r, w):
        parameters = [(w[3 * i], r[i], w[3 * i + 1], w[3 * i + 2]) for i in range(3)]
        f(parameters, [0.0, 0.1, 0.2], 0.1, 0.9, 0.99, 1e-7, 1.0)

    return "adam_step", grads, written, call


CASES = [conv_forward, conv_forward, conv_backward, conv_backward, maxpool_forward, dense_forward, dense_backward]
CASES += [maxpool_forward, maxpool_backward, avgpool_forward, avgpool_backward, upsample]
CASES += [normalize, norm_input_gradient, relu_backward, sgd_step, adam_step]
