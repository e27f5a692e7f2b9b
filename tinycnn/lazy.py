"""Public names of a package that are imported on first use: numba alone takes longer than everything else here."""

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinycnn.foreign import INSTEAD


def missing(package: str) -> Callable[[str], Any]:
    """A ``__getattr__`` for what `package` lacks, which says what to use instead.

    >>> missing("tinycnn")("BatchNorm2d")
    Traceback (most recent call last):
    ...
    ImportError: module 'tinycnn' has no BatchNorm2d: use BatchNorm
    """

    def refuse(name: str) -> Any:
        if name in INSTEAD:  # no AttributeError: ``from tinycnn import`` would put its own words in the place of these
            raise ImportError(f"module {package!r} has no {name}: use {INSTEAD[name]}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return refuse


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` (PEP 562) of `package`, as the imports of its ``__init__.pyi`` say.

    So one list serves the interpreter, editors and type checkers.

    >>> __getattr__, __dir__, __all__ = lazy_names("tinycnn.layers")
    >>> __getattr__("Dense").__name__, "Dense" in __all__
    ('Dense', True)
    """
    this = sys.modules[package]
    stub = ast.parse(Path(str(this.__file__)).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: str(node.module) for node in imports for alias in node.names}

    def lazy(name: str) -> Any:
        if name not in homes:
            missing(package)(name)
        if homes[name] == package:
            return importlib.import_module(f"{package}.{name}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(this, name, value)
        return value

    return lazy, lambda: sorted({*vars(this), *homes}), sorted(homes)
