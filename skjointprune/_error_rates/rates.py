"""From statistics, e-values or p-values to what may be selected at a rate of errors.

A statistic of knockoffs is positive where the input is worth more than all knockoffs
of it, else negative; its size is how much the first is worth more than the second.
For an input that says nothing of y, one of m + 1 is first with the same probability, so
of m knockoffs, m statistics are negative for one that is positive.
"""

import numpy as np

ROUNDING = 1 + 1e-9  # of rates that are equal but for it


def knockoff_threshold(
    statistics: np.ndarray, fdr: float, *, n_knockoffs: int = 1, offset: int = 1
) -> float:
    """Return the least size at which the estimated rate is low enough, or infinity.

    The rate is *(offset + negatives) / (n_knockoffs positives)* among statistics of at
    least that size (Barber, Candes, Annals of Statistics 43, 2015).
    """
    sizes, rates = _estimated_rates(statistics, n_knockoffs, offset)
    low = sizes[rates <= fdr * ROUNDING]
    return float(low[0]) if len(low) else np.inf


def knockoff_q_values(
    statistics: np.ndarray, *, n_knockoffs: int = 1, offset: int = 1
) -> np.ndarray:
    """Return the least rate at which the threshold admits each input; 1 at most."""
    sizes, rates = _estimated_rates(statistics, n_knockoffs, offset)
    least = np.minimum.accumulate(np.minimum(rates, 1))  # at this size or smaller ones
    q_values = np.ones(len(statistics))
    positive = statistics > 0
    q_values[positive] = least[np.searchsorted(sizes, statistics[positive])]
    return q_values


def e_values(statistics: np.ndarray, fdr: float, *, n_knockoffs: int = 1) -> np.ndarray:
    """Return a number for each input, whose sum over false ones is expected <= inputs.

    Inputs above the threshold have *inputs n_knockoffs / (1 + negatives)*, the others
    0 (Ren, Barber, JRSS B 86, 2024). Any threshold will do that is found on the way
    from small sizes to large ones, by counts of what is as large. Where the rate never
    is low enough, it is the first above all negatives: then few inputs are selected,
    if any, but these are the surest.
    """
    threshold = knockoff_threshold(statistics, fdr, n_knockoffs=n_knockoffs)
    first = statistics >= threshold
    if np.isinf(threshold):
        first = statistics > max(-statistics.min(), 0)
    negatives = (statistics <= -threshold).sum()
    return np.where(first, len(statistics) * n_knockoffs / (1 + negatives), 0.0)


def e_bh_q_values(e: np.ndarray) -> np.ndarray:
    """Return the least rate at which e-BH selects each input (Wang, Ramdas, 2022).

    The method of Benjamini and Hochberg holds for e-values however they depend on one
    another.
    """
    with np.errstate(divide="ignore"):
        return adjust_p_values(np.minimum(1 / e, 1))


def adjust_p_values(p: np.ndarray, fdr_control: str = "bhq") -> np.ndarray:
    """Return the least rate at which each is selected.

    Parameters
    ----------
    p : ndarray of shape (inputs,)
    fdr_control : {"bhq", "bhy"}
        The method of Benjamini and Hochberg, or of Benjamini and Yekutieli, which
        holds however p-values depend on one another.
    """
    n = len(p)
    order = np.argsort(p, kind="stable")
    ranks = np.arange(1, n + 1)
    factor = (1 / ranks).sum() if fdr_control == "bhy" else 1
    rates = p[order] * factor * n / ranks
    adjusted = np.empty(n)
    adjusted[order] = np.minimum.accumulate(rates[::-1])[::-1].clip(max=1)
    return adjusted


def _estimated_rates(
    statistics: np.ndarray, n_knockoffs: int, offset: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sizes above 0, ascending, and the estimated rate from each size on."""
    sizes = np.unique(np.abs(statistics[statistics != 0]))
    positives, negatives = (
        (statistics * sign > 0).sum()
        - np.searchsorted(np.sort(statistics[statistics * sign > 0] * sign), sizes)
        for sign in (1, -1)
    )
    return sizes, (offset + negatives) / n_knockoffs / np.maximum(positives, 1)
