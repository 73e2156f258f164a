"""Penalties: a price on the saliency of a group, and its proximal step."""

from typing import Protocol

from torch import Tensor

__all__ = ["GroupL0", "GroupLasso", "Penalty"]


class Penalty(Protocol):
    """What the parameter `penalty` takes: any object with this one method.

    A penalty has a price, a function of the saliency of a group, for which this method
    is the proximal step. The package never asks for the price itself. The classes here
    tell it nevertheless, as ``value(s, alpha)``: it says what the penalty is, and a
    test can compare the proximal step with the best point of a grid.

    See Also
    --------
    GroupL0 : A fixed price on every group that is there.
    GroupLasso : A price in proportion to the saliency.

    Examples
    --------
    >>> from skjointprune import JointPruneClassifier
    >>> class GroupElasticNet:
    ...     def prox(self, s, alpha):  # of alpha * t + alpha * t ** 2 / 2
    ...         return (s - alpha).clamp(min=0) / (1 + alpha)
    >>> clf = JointPruneClassifier(penalty=GroupElasticNet())
    """

    def prox(self, s: Tensor, alpha: float) -> Tensor:
        """Return the t >= 0 that minimise (t - s) ** 2 / 2 + price(t).

        Parameters
        ----------
        s : Tensor of shape (groups,)
            Saliencies, at least 0, each divided by what its group costs.
        alpha : float
            The threshold. For it to mean what it means elsewhere, let t be 0 exactly
            where s <= alpha.

        Returns
        -------
        Tensor of shape (groups,)
            The saliency that each group is left with; groups at 0 go.
        """


class GroupL0:
    """A fixed price on every group that is there: it stays as it is, or goes.

    The groups that go are those whose saliency is at most `alpha`. This is the penalty
    that the estimators call "group_l0".

    See Also
    --------
    GroupLasso : Shrinks the groups that stay.

    Examples
    --------
    >>> import torch
    >>> from skjointprune.penalties import GroupL0
    >>> GroupL0().prox(torch.tensor([0.5, 2.0, 3.0]), alpha=1.0)
    tensor([0., 2., 3.])
    """

    def value(self, s: Tensor, alpha: float) -> Tensor:
        """Return alpha ** 2 / 2 for each group that is there.

        Parameters
        ----------
        s : Tensor of shape (groups,)
            Saliencies, at least 0.
        alpha : float
            The threshold.

        Returns
        -------
        Tensor of shape (groups,)
            The price of each group.
        """
        return alpha**2 / 2 * (s > 0)

    def prox(self, s: Tensor, alpha: float) -> Tensor:
        """Threshold hard, at `alpha`.

        Parameters
        ----------
        s : Tensor of shape (groups,)
            Saliencies, at least 0.
        alpha : float
            The threshold.

        Returns
        -------
        Tensor of shape (groups,)
            The saliency that each group is left with: its own, or 0.
        """
        return s * (s > alpha)


class GroupLasso:
    """A price in proportion to saliency: groups shrink, and go at `alpha`.

    This is the penalty that the estimators call "group_lasso" [1]_, with the norm of
    the Fisher metric.

    See Also
    --------
    GroupL0 : Leaves the groups that stay as they are.

    References
    ----------
    .. [1] M. Yuan and Y. Lin, "Model selection and estimation in regression with
       grouped variables", JRSS B 68, 2006.

    Examples
    --------
    >>> import torch
    >>> from skjointprune.penalties import GroupLasso
    >>> GroupLasso().prox(torch.tensor([0.5, 2.0, 3.0]), alpha=1.0)
    tensor([0., 1., 2.])
    """

    def value(self, s: Tensor, alpha: float) -> Tensor:
        """Return alpha * s for each group.

        Parameters
        ----------
        s : Tensor of shape (groups,)
            Saliencies, at least 0.
        alpha : float
            The threshold.

        Returns
        -------
        Tensor of shape (groups,)
            The price of each group.
        """
        return alpha * s

    def prox(self, s: Tensor, alpha: float) -> Tensor:
        """Threshold softly, at `alpha`.

        Parameters
        ----------
        s : Tensor of shape (groups,)
            Saliencies, at least 0.
        alpha : float
            The threshold.

        Returns
        -------
        Tensor of shape (groups,)
            The saliency that each group is left with: `alpha` less, or 0.
        """
        return (s - alpha).clamp(min=0)


PENALTIES: dict[str, type[Penalty]] = {
    "group_l0": GroupL0,
    "group_lasso": GroupLasso,
}
