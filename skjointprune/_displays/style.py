"""Colours, axes and labels that all displays share."""

from collections.abc import Sequence
from typing import Any

from .._utils.optional import import_optional

# Okabe and Ito's palette, which the colour-blind tell apart; the grey shows on white
# and on black.
RETAINED = "#0072b2"
CHOSEN = "#d55e00"
DROPPED = (0.5, 0.5, 0.5, 0.3)


def make_axes(ax, asked_for: str, *, n_columns=1, **figure):
    """Return the axes given, or those of a new figure, side by side."""
    if ax is None:
        pyplot = import_optional("matplotlib.pyplot", asked_for, '"skjointprune[plot]"')
        ax = pyplot.subplots(1, n_columns, layout="constrained", **figure)[1]
    return ax


def shorten(name: Any, max_length: int = 32) -> str:
    """Return a name without its middle, where it is long.

    Names of one-hot columns begin alike, and end in what tells them apart.
    """
    name = str(name)
    if len(name) <= max_length:
        return name
    head = (max_length - 1) // 2
    return f"{name[:head]}…{name[head + 1 - max_length :]}"


def label_bars(ax, names: Sequence[Any]) -> list:
    """Name bars from the top of a chart, in letters that fit; return the labels."""
    n = max(len(names), 1)
    ax.set_yticks(range(len(names)), [shorten(name) for name in names])
    ax.set_ylim(n - 0.4, -0.6)
    height = ax.get_window_extent().height / ax.figure.dpi * 72 / n  # points
    labels = ax.get_yticklabels()
    for label in labels:
        label.set_parse_math(False)  # a name may hold dollars
        label.set_fontsize(min(label.get_fontsize(), max(0.85 * height, 4)))
    return labels
