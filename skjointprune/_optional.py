"""Packages that are not required: imported when asked for, or missed clearly."""


def import_pyplot(asked_for: str):
    """Return `matplotlib.pyplot`; the argument says what needs it.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    try:
        import matplotlib.pyplot as pyplot
    except ImportError as error:
        raise ImportError(
            f"{asked_for} needs matplotlib, which is not installed. Install it with "
            '`pip install "skjointprune[plot]"`.'
        ) from error
    return pyplot


def import_pandas(asked_for: str):
    """Return `pandas`; the argument says what needs it.

    Raises
    ------
    ImportError
        Without pandas.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{asked_for} needs pandas, which is not installed. Install it with `pip "
            "install pandas`."
        ) from error
    return pandas
