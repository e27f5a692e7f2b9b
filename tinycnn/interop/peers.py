"""Other libraries, imported when a conversion asks for them."""

from importlib import import_module
from typing import Any


def peer(name: str, caller: str) -> Any:
    """The module `name` of another library.

    Parameters
    ----------
    name : str
    caller : str
        What needs it, for the error.

    Raises
    ------
    ImportError
        With the command that installs it.

    Examples
    --------
    >>> peer("no_such_library", "to_nowhere")
    Traceback (most recent call last):
        ...
    ImportError: to_nowhere needs no_such_library, which is not installed: pip install no_such_library
    """
    top = name.split(".")[0]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != top:
            raise
        package = {"keras": "tensorflow"}.get(top, top)
        raise ImportError(f"{caller} needs {top}, which is not installed: pip install {package}") from error
