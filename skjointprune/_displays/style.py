"""What displays share: colours, axes, and names that fit."""

from collections.abc import Sequence
from typing import Any

from .._utils.optional import import_optional

# Okabe and Ito's palette, which the colour-blind tell apart; the grey shows on white
# and on black.
RETAINED = "#0072b2"
CHOSEN = "#d55e00"
DROPPED = (0.5, 0.5, 0.5, 0.3)


def make_axes(ax, asked_for: str, n_rows=1, n_columns=1, **figure):
    """Return the axes given, or those of a new figure."""
    if ax is None:
        pyplot = import_optional("matplotlib.pyplot", asked_for, '"skjointprune[plot]"')
        ax = pyplot.subplots(n_rows, n_columns, layout="constrained", **figure)[1]
    return ax


def shortened(name: Any, longest: int = 32) -> str:
    """Return a name with its middle cut out where it is long.

    Names of one-hot columns begin alike, and end in what tells them apart.
    """
    name = str(name)
    if len(name) <= longest:
        return name
    head = (longest - 1) // 2
    return f"{name[:head]}…{name[head + 1 - longest :]}"


def label_rows(ax, names: Sequence[Any]) -> list:
    """Name the rows of a chart from its top, in letters that fit, and return these."""
    n = max(len(names), 1)
    ax.set_yticks(range(len(names)), [shortened(name) for name in names])
    ax.set_ylim(n - 0.4, -0.6)
    room = ax.get_window_extent().height / ax.figure.dpi * 72 / n  # points
    labels = ax.get_yticklabels()
    for label in labels:
        label.set_parse_math(False)  # a name may hold dollars
        label.set_fontsize(min(label.get_fontsize(), max(0.85 * room, 4)))
    return labels
