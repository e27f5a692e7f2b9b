"""How much of the image an output sees: receptive fields.

Checked by ``python -m tinycnn.exercises receptive_field``.
"""


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
    raise NotImplementedError
