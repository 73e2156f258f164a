"""Optional packages: imported where they are used, or an error names the extra."""

from importlib import import_module
from typing import Any


def import_optional(name: str, asked_for: str, install: str) -> Any:
    """Return a module of an optional package.

    Parameters
    ----------
    name : str
        Name of the module.
    asked_for : str
        What needs it, as the error says.
    install : str
        What to give to `pip install`.

    Raises
    ------
    ImportError
        If the package is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"{asked_for} needs {package}, which is not installed. Install it with "
            f"`pip install {install}`."
        ) from error
