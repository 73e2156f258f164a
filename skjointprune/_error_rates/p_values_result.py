"""`InputPValues`: p-values of inputs, and what may be selected by them."""

from dataclasses import dataclass

import numpy as np

from .._report.html import inputs_html
from .._utils.input_names import input_names
from .knockoff_result import MOST_SHOWN, of_inputs
from .rates import ROUNDING, adjust_p_values


@dataclass(frozen=True, eq=False)
class InputPValues:
    """Whether y depends on inputs, given the others: what `p_values` returns.

    Attributes
    ----------
    pvalues_by_group : ndarray of shape (n_groups,)
        p-values of groups, where there are any, else of inputs.
    importances_by_group, errors_by_group : ndarray of shape (n_groups,)
        Mean loss more, and its standard error over rows: of a cross-entropy in nats, a
        miss, or a squared error of targets with a variance of 1.
    groups : tuple of ndarray of int
        The columns of each group; of one each where there are no groups.
    feature_names_in : ndarray of shape (n_features,), or None
        Names of the inputs, where X had names.
    """

    pvalues_by_group: np.ndarray
    importances_by_group: np.ndarray
    errors_by_group: np.ndarray
    groups: tuple[np.ndarray, ...]
    feature_names_in: np.ndarray | None = None

    @property
    def pvalues_(self) -> np.ndarray:
        """p-value of each input, (n_features,); 1 where no fit reads it."""
        return of_inputs(self.pvalues_by_group, self.groups)

    @property
    def importances_(self) -> np.ndarray:
        """Mean loss more where the input is drawn anew, (n_features,)."""
        return of_inputs(self.importances_by_group, self.groups)

    @property
    def importances_se_(self) -> np.ndarray:
        """Standard errors of the importances over rows, (n_features,)."""
        return of_inputs(self.errors_by_group, self.groups)

    @property
    def names(self) -> np.ndarray:
        """Names of all inputs, (n_features,): those of X, or x0, x1, …."""
        return input_names((sum(map(len, self.groups)),), self.feature_names_in)

    def fdr_selection(self, fdr=0.1, fdr_control="bhq"):
        """Select at a false discovery rate.

        Parameters
        ----------
        fdr : float in (0, 1), default=0.1
            The largest expected share of the selected inputs (or groups) that are
            false.
        fdr_control : {"bhq", "bhy"}, default="bhq"
            The method of Benjamini and Hochberg (1995), for p-values that are
            independent or depend positively on one another; or that of Benjamini and
            Yekutieli (2001), whatever they depend on.

        Returns
        -------
        ndarray of shape (n_features,), bool
            Which inputs are selected.

        Raises
        ------
        ValueError
            If `fdr` is no rate, or there is no such method.
        """
        if fdr_control not in ("bhq", "bhy"):
            raise ValueError(
                f"`fdr_control` must be 'bhq' or 'bhy'. Got {fdr_control!r}; 'bhy' "
                "holds always."
            )
        _check_rate("fdr", fdr)
        adjusted = adjust_p_values(self.pvalues_by_group, fdr_control)
        return of_inputs(adjusted <= fdr * ROUNDING, self.groups)

    def fwer_selection(self, fwer=0.05, procedure="bonferroni"):
        """Select at a family-wise error rate.

        Parameters
        ----------
        fwer : float in (0, 1), default=0.05
            The largest probability that any selected input (or group) is false.
        procedure : {"bonferroni"}, default="bonferroni"
            p-values times their number are at most `fwer`, whatever they depend on.

        Returns
        -------
        ndarray of shape (n_features,), bool
            Which inputs are selected.

        Raises
        ------
        ValueError
            If `fwer` is no rate, or there is no such procedure.
        """
        if procedure != "bonferroni":
            raise ValueError(
                f"`procedure` must be 'bonferroni'. Got {procedure!r}; leave it out."
            )
        _check_rate("fwer", fwer)
        adjusted = self.pvalues_by_group * len(self.groups)
        return of_inputs(adjusted <= fwer * ROUNDING, self.groups)

    def _rows(self) -> list[tuple[str, float, float, float]]:
        """Return name, p-value, importance and error of all inputs, surest first."""
        names, p, importances = self.names, self.pvalues_, self.importances_
        order = np.lexsort((-importances, p))
        errors = self.importances_se_
        return [(str(names[i]), p[i], importances[i], errors[i]) for i in order]

    def _headline(self) -> str:
        n_fdr, n_fwer = self.fdr_selection().sum(), self.fwer_selection().sum()
        return (
            f"{n_fdr:,} of {len(self.names):,} inputs at a false discovery rate of "
            f"0.1, {n_fwer:,} at a family-wise error rate of 0.05"
        )

    def __repr__(self) -> str:
        rows = self._rows()
        lines = [self._headline(), f"  {'':<20}{'p-value':>10}{'importance':>12}"]
        for name, p, importance, error in rows[:MOST_SHOWN]:
            lines.append(f"  {name:<20}{p:>10.2g}{importance:>12.3g} ± {error:.2g}")
        if len(rows) > MOST_SHOWN:
            lines.append(f"  and {len(rows) - MOST_SHOWN:,} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        body = [
            [name, f"{p:.2g}", f"{importance:.3g} ± {error:.2g}"]
            for name, p, importance, error in self._rows()
        ]
        header = ["", "p-value", "importance"]
        return inputs_html(self._headline(), header, body, MOST_SHOWN)


def _check_rate(name: str, rate: float) -> None:
    if not 0 < rate < 1:
        raise ValueError(
            f"`{name}` must be above 0 and below 1. Got {rate!r}; 0.1 is usual."
        )
