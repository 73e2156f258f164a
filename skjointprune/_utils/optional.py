"""Packages that are not required: imported when asked for, or missed clearly."""

from importlib import import_module
from typing import Any


def import_optional(name: str, asked_for: str, install: str) -> Any:
    """Return a module of a package that is not required.

    Parameters
    ----------
    name : str
        Of the module.
    asked_for : str
        What needs it.
    install : str
        What to give to `pip install`.

    Raises
    ------
    ImportError
        Without the package.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"{asked_for} needs {package}, which is not installed. Install it with "
            f"`pip install {install}`."
        ) from error
