"""Pixels of an image, channels side by side, with the retained ones filled in."""

from typing import Any

import numpy as np

from .style import DROPPED, RETAINED

DROPPED_OF_IMAGE = (0.35, 0.6, 0.85, 0.5)  # blue, as the image shown is grey


class Tiles:
    """Places of images of one size: side by side, four in a line, with gaps."""

    def __init__(self, n: int, height: int, width: int):
        self.height, self.width = height, width
        n_across = min(n, 4)
        gap = max(1, width // 16)
        # The titles of a line stand above it.
        down, right = height + 4 * gap, width + gap
        self.starts = [(i // n_across * down, i % n_across * right) for i in range(n)]
        self.shape = self.starts[-1][0] + height, n_across * right - gap

    def spread(self, images: np.ndarray, *, between: Any) -> np.ndarray:
        """Return images, (n, height, width), as one, (height, width).

        The gaps hold the value of `between`.
        """
        whole = np.full(self.shape, between)
        for (top, left), image in zip(self.starts, images, strict=True):
            whole[top : top + self.height, left : left + self.width] = image
        return whole


def draw_pixels(
    ax, support: np.ndarray, values: np.ndarray, kind: str, *, cmap, colorbar: bool
):
    """Draw the values of the inputs in a support; both are (channels, height, width).

    The kind of the values, "importances", "support" or "image", decides on colours.
    """
    tiles = Tiles(*support.shape)
    dropped = tiles.spread(~support, between=False)
    backdrop = np.zeros((*tiles.shape, 4))
    backdrop[dropped] = DROPPED_OF_IMAGE if kind == "image" else DROPPED
    ax.imshow(backdrop, interpolation="nearest")
    if kind == "support" and cmap is None:
        from matplotlib.colors import ListedColormap

        cmap = ListedColormap([RETAINED])
    elif cmap is None:
        cmap = "viridis" if kind == "importances" else "gray"
    shown = tiles.spread(np.where(support, values, np.nan), between=np.nan)
    limits = {"vmin": 0} if kind == "importances" else {}
    image = ax.imshow(shown, cmap=cmap, interpolation="nearest", **limits)
    if colorbar and kind == "importances":
        # Within the axes, or it would be higher than the image.
        cax = ax.inset_axes((1.03, 0, 0.03, 1))
        ax.figure.colorbar(image, cax=cax, label="importance")
    for spine in ax.spines.values():
        spine.set_visible(False)
    _number_pixels(ax, tiles)
    if len(support) > 1:
        _name_channels(ax, tiles, support)
    ax.set_xlabel(_summarise(support))
    return image


def _number_pixels(ax, tiles: Tiles) -> None:
    """Label rows and columns of pixels with their numbers in each image."""
    tops = sorted({top for top, _ in tiles.starts})
    lefts = [left for top, left in tiles.starts if top == tops[-1]]
    for set_ticks, starts, size in (
        (ax.set_yticks, tops, tiles.height),
        (ax.set_xticks, lefts, tiles.width),
    ):
        numbers = np.arange(0, size, max(1, round(size / 6)))
        positions = np.add.outer(starts, numbers).ravel()
        set_ticks(positions, np.tile(numbers, len(starts)))


def _name_channels(ax, tiles: Tiles, support: np.ndarray) -> None:
    """Write the number of each channel above it, and whether it is dropped."""
    for i, (top, left) in enumerate(tiles.starts):
        dropped = "" if support[i].any() else " (dropped)"
        ax.annotate(
            f"channel {i}{dropped}",
            (left + (tiles.width - 1) / 2, top - 0.5),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize="small",
        )


def _summarise(support: np.ndarray) -> str:
    """Say how many inputs are retained, and of which dimensions only a part is."""
    n_kept = [support.any(axis=others).sum() for others in ((1, 2), (0, 2), (0, 1))]
    parts = [
        f"{kept} of {size} {name}"
        for name, kept, size in zip(
            ("channels", "rows", "columns"), n_kept, support.shape, strict=True
        )
        if kept < size
    ]
    total = f"{support.sum():,} of {support.size:,} inputs retained"
    return f"{total}\nin {', '.join(parts)}" if parts else total


def figure_size(n: int, height: int, width: int) -> tuple[float, float]:
    """Return the width and height, in inches, of a figure for n images."""
    height, width = Tiles(n, height, width).shape
    across = 6.4 if width < 1.6 * height else 9.0
    return across, min(max(0.95 * across * height / width + 1.2, 2.4), 0.75 * across)
