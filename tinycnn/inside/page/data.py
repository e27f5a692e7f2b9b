"""What the page shows, as JSON-able data and packed arrays: the layers of a traced pass, in the order of computing."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinycnn.inside.anatomy import LayerAnatomy, anatomy
from tinycnn.inside.columns import telling_channels
from tinycnn.inside.page.arrays import Arrays
from tinycnn.inside.page.forms import WHOLE, form_of
from tinycnn.inside.reaches import paths_of
from tinycnn.inside.trace import Record, Trace
from tinycnn.inside.windows import window_axes
from tinycnn.layers.activation import ReLU
from tinycnn.layers.base import Layer
from tinycnn.layers.block import Block
from tinycnn.layers.pool import MaxPool2D
from tinycnn.model import Sequential
from tinycnn.summary import keras_class

IMAGE = "image"  # what stands before the first layer


def page_data(
    model: Sequential, seen: Trace, label: int | None, class_names: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The data of a page, and the arrays that go with it.

    Parameters
    ----------
    model : Sequential
    seen : Trace
        Of one image.
    label : int or None
        Given to `trace`.
    class_names : sequence of str
        One for each output, where the outputs are classes.

    Returns
    -------
    data : dict
        ``model, classes, label, loss, softmax, whole``, ``layers`` (each with its ``path``, ``kind``, shapes,
        ``takes``: the layer whose output is its input, ``sources``: those whose output it is made of, ``facts``,
        numbers of ``arrays``, ``form`` of its sums) and ``arrays``.
    packed : list of str
    """
    rows = {row.path: row for row in anatomy(model).rows}
    arrays = Arrays()
    found = [
        {"takes": takes, "sources": sources} | _layer(layer, seen[str(layer.name)], rows[str(layer.name)], arrays)
        for layer, takes, sources in computed(model.layers, IMAGE)
    ]
    # Backwards: a gradient that the page is to work out from the one behind it must find that one there.
    for layer, entry in reversed(list(zip((layer for layer, *_ in computed(model.layers, IMAGE)), found, strict=True))):
        entry["arrays"] |= _gradients(layer, entry, seen[str(layer.name)], arrays)
    data = {
        "model": model.name,
        "classes": list(class_names),
        "label": label,
        "loss": seen.loss,
        "softmax": model.ends_in_softmax,
        "whole": WHOLE,
        "layers": found,
        "arrays": arrays.entries,
    }
    return data, arrays.packed


def computed(layers: Sequence[Layer], source: str) -> Iterator[tuple[Layer, str, list[str]]]:
    """Each layer, whose output its input is, and whose outputs it is made of; a block after what is inside it.

    These two differ in a block, which is made of what its paths gave.

    Activations that a layer applies itself are left out.
    """
    for layer in layers:
        sources = [source]
        if isinstance(layer, Block):
            for path in paths_of(layer):
                yield from computed(path, source)
            sources = [str(path[-1].name) if path else source for path in paths_of(layer)]
        yield layer, source, sources
        source = str(layer.name)


def _layer(layer: Layer, record: Record, row: LayerAnatomy, arrays: Arrays) -> dict[str, Any]:
    given, before, after = record.input[0], record.pre_activation[0], record.output[0]
    numbers = {"input": arrays.add(given)}
    pools: dict[str, Any] = {}
    if isinstance(layer, MaxPool2D) and not np.isnan(given).any():
        pools = {"rule": "pool", "layer": row.path}
    numbers["before"] = arrays.add(before, **pools)
    relu: dict[str, Any] = {}
    if isinstance(layer.activation, ReLU) and np.array_equal(np.maximum(before, 0), after):
        relu = {"rule": "relu", "of": numbers["before"]}
    numbers["output"] = arrays.add(after, **relu)
    return {
        "path": row.path,
        "kind": row.kind,
        "shape": row.output_shape,
        "input_shape": layer.input_shape,
        "activation": None if layer.activation is None else keras_class(layer.activation),
        "options": {} if layer.activation is None else layer.activation.config(),
        "telling": [int(i) for i in telling_channels(after)] if after.ndim == 3 else [0],
        "facts": _facts(row),
        "arrays": numbers,
        "form": form_of(layer, record, arrays),
    }


def _gradients(layer: Layer, entry: dict[str, Any], record: Record, arrays: Arrays) -> dict[str, int]:
    numbers: dict[str, int] = {}
    rule: dict[str, Any] = {}
    if record.grad_output is not None:
        numbers["grad_output"] = arrays.add(record.grad_output[0])
    if record.grad_pre_activation is not None:
        grad = record.grad_pre_activation[0]
        if isinstance(layer.activation, ReLU) and record.grad_output is not None:
            gated = np.where(record.pre_activation[0] > 0, record.grad_output[0], 0)
            if np.array_equal(gated, grad):
                rule = {"rule": "gate", "gradient": numbers["grad_output"], "of": entry["arrays"]["before"]}
        numbers["grad_before"] = arrays.add(grad, **rule)
    if record.grad_input is not None:
        rule = {}
        if isinstance(layer, MaxPool2D) and not np.isnan(record.input).any() and _apart(layer):
            rule = {"rule": "unpool", "layer": entry["path"]}
        numbers["grad_input"] = arrays.add(record.grad_input[0], **rule)
    return numbers


def _apart(layer: Layer) -> bool:
    """Whether windows do not overlap, so that no gradient is a sum, whose rounding the page could not repeat."""
    return all(axis.stride >= axis.window for axis in window_axes(layer))


def _facts(row: LayerAnatomy) -> list[tuple[str, str]]:
    def times(numbers: Sequence[Any]) -> str:
        return " × ".join(map(str, numbers))

    facts = [
        ("output", times(row.output_shape)),
        ("weights", f"{row.parameters:,}"),
        ("multiplications forward", f"{row.forward:,}"),
        ("multiplications backward", f"{row.backward:,}"),
        ("bytes kept for the backward pass", f"{row.kept:,}"),
    ]
    if row.receptive_field is not None:
        facts.append(("sees of the image", f"{times(row.receptive_field)} pixels"))
    if row.jump is not None:
        facts.append(("step in the image", f"{times(row.jump)} pixels"))
    if row.padding is not None and np.any(row.padding):
        names = ("above", "below", "left", "right")
        sides = [number for pair in row.padding for number in pair]
        facts.append(("padding", ", ".join(f"{n} {name}" for name, n in zip(names, sides, strict=True))))
    return [*facts, *((name, text) for name, text in (("kernel", row.kernel), ("runs with", row.fused)) if text)]
