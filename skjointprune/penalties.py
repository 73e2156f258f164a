"""Penalties: a price on the saliency of a group, and its proximal step."""

from typing import Protocol

from torch import Tensor


class Penalty(Protocol):
    """A price `alpha` on saliencies `s` >= 0, elementwise."""

    def value(self, s: Tensor, alpha: float) -> Tensor:
        """Return the price of each group."""

    def prox(self, s: Tensor, alpha: float) -> Tensor:
        """Return the t that minimise (t - s) ** 2 / 2 + value(t, alpha)."""


class GroupL0:
    """A fixed price on every group that is there: it stays as it is, or goes.

    The groups that go are those whose saliency is at most `alpha`.
    """

    def value(self, s: Tensor, alpha: float) -> Tensor:
        """Return alpha ** 2 / 2 for each group that is there."""
        return alpha**2 / 2 * (s > 0)

    def prox(self, s: Tensor, alpha: float) -> Tensor:
        """Threshold hard, at `alpha`."""
        return s * (s > alpha)


class GroupLasso:
    """A price in proportion to saliency: groups shrink, and go at `alpha`.

    Yuan and Lin, "Model selection and estimation in regression with grouped
    variables", JRSS B 68 (2006), with the norm of the Fisher metric.
    """

    def value(self, s: Tensor, alpha: float) -> Tensor:
        """Return alpha * s for each group."""
        return alpha * s

    def prox(self, s: Tensor, alpha: float) -> Tensor:
        """Threshold softly, at `alpha`."""
        return (s - alpha).clamp(min=0)


PENALTIES: dict[str, type[Penalty]] = {
    "group_l0": GroupL0,
    "group_lasso": GroupLasso,
}
