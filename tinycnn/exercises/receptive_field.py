"""How much of the image an output sees: receptive fields."""

from tinycnn.exercises.exercise import Exercise, Suspect


def receptive_field(layers: list[tuple[int, int, int]]) -> tuple[int, int]:
    """Receptive field of convolutions and poolings one after another, along one axis.

    An output of a layer sees `window` inputs, `dilation` apart, and its neighbour those `stride` further on.  Let jump
    be the distance in the image of two neighbouring inputs of a layer, and size what one of them sees::

        size = size + (window - 1) * dilation * jump          jump = jump * stride

    beginning with size = jump = 1, from the first layer to the last.

    Parameters
    ----------
    layers : list of (window, stride, dilation)
        From the image on.

    Returns
    -------
    size, jump : int
        Pixels that an output of the last layer sees, from the first to the last of them, and the distance between the
        fields of two neighbouring outputs.

    Examples
    --------
    >>> receptive_field([(3, 1, 1), (2, 2, 1), (3, 1, 1)])  # convolution, 2 x 2 pooling, convolution
    (8, 2)
    """
    size, jump = 1, 1
    for window, stride, dilation in layers:
        size = size + (window - 1) * dilation * jump
        jump = jump * stride
    return size, jump


def _oracle(layers):
    """Follow outputs 0 and 1 back to the first and the last pixel that they see."""
    first, last, second = 0, 0, 1
    for window, stride, dilation in reversed(layers):
        first, last, second = first * stride, last * stride + (window - 1) * dilation, second * stride
    return last - first + 1, second - first


GROW = "size + (window - 1) * dilation * jump"
EXERCISE = Exercise(
    solution=receptive_field,
    outputs=("size", "jump"),
    oracle=_oracle,
    cases={
        "no layer": {"layers": []},
        "one 3x3 convolution": {"layers": [(3, 1, 1)]},
        "two of them": {"layers": [(3, 1, 1), (3, 1, 1)]},
        "pooling between them": {"layers": [(3, 1, 1), (2, 2, 1), (3, 1, 1)]},
        "a stride at the end": {"layers": [(3, 2, 1), (3, 1, 1), (5, 3, 1)]},
        "stride 3 before stride 2": {"layers": [(5, 3, 1), (3, 2, 1), (4, 1, 1)]},
        "dilation": {"layers": [(3, 1, 1), (3, 1, 2), (3, 1, 4)]},
        "dilation after a stride": {"layers": [(7, 2, 1), (2, 2, 1), (3, 1, 3), (1, 2, 5), (3, 1, 2)]},
    },
    suspects=[
        Suspect(
            "the stride is ignored: after a stride, neighbours lie further apart in the image",
            " * dilation * jump",
            " * dilation",
        ),
        Suspect("a window of 3 adds 2 pixels, not 3: window - 1", "(window - 1)", "window"),
        Suspect("the dilation is ignored", "(window - 1) * dilation", "(window - 1)"),
        Suspect(
            "the dilated window is 1 too large: dilation * (window - 1), not dilation * window - 1",
            "(window - 1) * dilation",
            "(window * dilation - 1)",
        ),
        Suspect(
            "the layer's own stride counts already: jump grows after size does",
            f"size = {GROW}\n        jump = jump * stride",
            f"jump = jump * stride\n        size = {GROW}",
        ),
        Suspect(
            "the stride is ignored: after a stride, neighbours lie further apart in the image",
            "jump = jump * stride",
            "jump = 1",
        ),
        Suspect("only the last stride counts: jumps are multiplied", "jump = jump * stride", "jump = stride"),
        Suspect("strides are added; jumps are multiplied", "jump = jump * stride", "jump = jump + stride - 1"),
        Suspect("the layers are walked through from the last to the first", "in layers:", "in layers[::-1]:"),
        Suspect("size begins at 0: an input sees itself", "size, jump = 1, 1", "size, jump = 0, 1"),
        Suspect("the product of the windows: each further layer adds", GROW, "size * window"),
        Suspect(
            "the size is multiplied by the stride: that is the way from the last layer to the first",
            GROW,
            "size * stride + (window - 1) * dilation",
        ),
        Suspect("the largest window alone counts", GROW, "max(size, (window - 1) * dilation * jump + 1)"),
        Suspect("the first layer is left out", "in layers:", "in layers[1:]:"),
        Suspect("the last layer is left out", "in layers:", "in layers[:-1]:"),
        Suspect(
            "the dilation makes neighbours lie further apart for good: only this layer skips",
            "jump = jump * stride",
            "jump = jump * stride * dilation",
        ),
    ],
    hints=[
        "Two numbers are carried along, size and jump; each layer changes both.",
        "Take two 3-wide convolutions with pencil and paper: 1, then 3, then 5. With stride 2 in the first: 1, 3, 7.",
        "size first, with the jump of the layer's inputs; then jump times stride.",
    ],
)
