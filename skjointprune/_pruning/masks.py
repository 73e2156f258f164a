"""Masks over the inputs of a table: drawn while a network is trained, and chosen."""

import math
from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor

MOST_CHOICES = 150  # that are all tried
DROPPED_AT_ONCE = 8  # one in so many of those that are yet to go
MOST_SWAPPED = 4  # inputs of each side that are tried for each other
MOST_SWAPS = 20
WORTH_A_SWAP = 1e-3  # of the loss
LEAST_SHARE = 0.5  # of the number that is asked for: no fewer are shown, in the mean


class Masks:
    """Hides inputs of rows: a hidden number is the mean of its column.

    Parameters
    ----------
    means : Tensor of shape (inputs,)
    groups : Tensor of shape (inputs,)
        The number of the group of each input, 0, 1, …; a group is hidden whole.
    n_asked : int
        How many groups are to be chosen.
    """

    def __init__(self, means: Tensor, groups: Tensor, n_asked: int):
        self.means, self.groups, self.n_asked = means, groups, n_asked
        self.n_groups = int(groups.max()) + 1

    def hide(self, X: Tensor, shown: Tensor) -> Tensor:
        """Return rows of which some groups are shown: a mask, (groups,) or by row."""
        return torch.where(shown.to(X.device)[..., self.groups], X, self.means)

    def hide_some(self, X: Tensor) -> Tensor:
        """Return rows of which groups are shown at random.

        Each row has a share of its own, from half of what is asked for up to all. Its
        logarithm is uniform: as many rows show a share between .1 and .2 as between .2
        and .4. So also where few groups are asked for, many rows show about as many.
        """
        least = LEAST_SHARE * self.n_asked / self.n_groups
        share = least ** torch.rand(len(X), 1)
        return self.hide(X, torch.rand(len(X), self.n_groups) < share)


def choose_groups(
    loss: Callable[[Tensor], float], always: Tensor, n_asked: int
) -> Tensor:
    """Return a mask over groups, (groups,), of small loss: so many are shown.

    Where there are few choices, all are tried. Else groups go whose loss is least
    missed, a few at a time; then groups that are shown are swapped for others while
    that makes the loss less.

    Parameters
    ----------
    loss : callable
        Returns the loss where a mask over groups is shown.
    always : Tensor of shape (groups,), bool
        What stays in any case.
    n_asked : int
        How many groups to choose, at least those.
    """
    free = (~always).nonzero().flatten().tolist()
    n_free = max(n_asked - int(always.sum()), 0)
    if math.comb(len(free), n_free) <= MOST_CHOICES:
        choices = (_with(always, some) for some in combinations(free, n_free))
        return min(choices, key=loss)
    shown = torch.ones_like(always)
    while (n_left := int(shown.sum())) > n_asked:
        able = (shown & ~always).nonzero().flatten()
        losses = _losses_of_flips(loss, shown, able)
        n_dropped = max(1, (n_left - n_asked) // DROPPED_AT_ONCE)
        shown[able[losses.argsort()[:n_dropped]]] = False
    least = loss(shown)
    for _ in range(MOST_SWAPS):
        swapped, found = _best_swap(loss, shown, always)
        if not found < least * (1 - WORTH_A_SWAP):
            break
        shown, least = swapped, found
    return shown


def _with(always: Tensor, some: tuple[int, ...]) -> Tensor:
    """Return a mask over groups where some are shown, and what stays in any case."""
    shown = always.clone()
    shown[list(some)] = True
    return shown


def _best_swap(
    loss: Callable[[Tensor], float], shown: Tensor, always: Tensor
) -> tuple[Tensor, float]:
    """Return the mask of least loss with one group for another, and its loss.

    Tried are those that are least missed alone, for those that help most alone.
    """
    inside = (shown & ~always).nonzero().flatten()
    outside = (~shown).nonzero().flatten()
    inside = inside[_losses_of_flips(loss, shown, inside).argsort()[:MOST_SWAPPED]]
    outside = outside[_losses_of_flips(loss, shown, outside).argsort()[:MOST_SWAPPED]]
    best, least = shown, float("inf")
    for old in inside:
        for new in outside:
            swapped = shown.clone()
            swapped[old], swapped[new] = False, True
            if (found := loss(swapped)) < least:
                best, least = swapped, found
    return best, least


def _losses_of_flips(
    loss: Callable[[Tensor], float], shown: Tensor, groups: Tensor
) -> Tensor:
    """Return the loss with each of some groups shown that is not, or the reverse."""
    losses = []
    for group in groups:
        flipped = shown.clone()
        flipped[group] = ~flipped[group]
        losses.append(loss(flipped))
    return torch.tensor(losses)
