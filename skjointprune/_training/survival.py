"""Cox's partial likelihood as a loss of rows, and the concordance of risk scores."""

import numpy as np
import torch
from torch import Tensor, nn

ROWS_AT_ONCE = 2**22  # comparisons of pairs that are held at once
TIED = 1e-8  # risk scores that differ by no more count as equal


class CoxLoss(nn.Module):
    """The negative log partial likelihood of each row, with Efron's ties.

    An event is set against the rows that are at risk at its time: those of the batch
    that end no earlier. A row that is censored has no loss of its own. Events at one
    time share their terms (Efron, "The efficiency of Cox's likelihood function for
    censored data", JASA 72, 1977). From each term that of equal outputs is subtracted:
    so the loss is 0 where nothing is known, however many rows are at risk. Losses of
    a weight each, as in R's survival, are to be multiplied by that weight.

    A batch that is drawn at random draws the rows at risk as well. Its likelihood is
    that of a nested case-control study, which finds the same hazard ratios (Goldstein,
    Langholz, "Asymptotic theory for nested case-control sampling in the Cox regression
    model", Annals of Statistics 20, 1992).

    Parameters
    ----------
    reduction : "none"
        As of losses of torch; there is no other.
    """

    def __init__(self, reduction: str = "none"):
        super().__init__()

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row, (rows,).

        `outputs` are (rows, 1); `targets` rank of time, event and weight, (rows, 3).
        """
        rank, order = targets[:, 0].sort(stable=True)
        _, event, weight = targets[order].unbind(dim=1)
        f = outputs[order, 0]
        ties = _Ties(rank, event)
        log_weight = weight.log()
        at_risk = ties.log_at_risk(f + log_weight) - ties.log_at_risk(log_weight)
        return torch.empty_like(f).index_copy(0, order, event * (at_risk - f))


class _Ties:
    """Which of some rows, in the order of time, have one time."""

    def __init__(self, rank: Tensor, event: Tensor):
        n = len(rank)
        new = torch.ones_like(rank, dtype=torch.long)
        new[1:] = (rank[1:] != rank[:-1]).long()
        self.group = new.cumsum(0) - 1  # the number of the time of each row
        self.first = torch.searchsorted(rank, rank)  # the first row of that time
        self.event, self.n = event, n
        before = event.cumsum(0) - event  # events in rows before
        self.place = before - before[self.first]  # among the events of that time
        self.count = self._of_group(event).clamp(min=1)  # events of that time

    def log_at_risk(self, log_risk: Tensor) -> Tensor:
        """Return the log of the risk that an event is set against, (rows,).

        Of events at one time, each has left the set in part while the others happen:
        the mean over all orders.
        """
        total = log_risk.flip(0).logcumsumexp(0).flip(0)[self.first]
        share = self._of_group(self.event * (log_risk - total).exp())
        left = torch.log1p(-(self.place / self.count) * share.clamp(max=1))
        return total + self._of_group(self.event * left) / self.count

    def _of_group(self, values: Tensor) -> Tensor:
        """Return the sum over the rows of the same time, (rows,)."""
        sums = values.new_zeros(self.n).index_add(0, self.group, values)
        return sums[self.group]


def concordance(
    event: np.ndarray, time: np.ndarray, risk: np.ndarray, weight: np.ndarray
) -> float | None:
    """Return Harrell's concordance index, None where no two rows can be compared.

    Two rows are compared where one has an event before the time of the other, or at
    the time where the other is censored. The share of pairs is returned where the row
    of the event has the larger risk; equal risks count a half. A pair counts by the
    product of its weights. All arrays are (rows,). Time grows with events times rows.
    """
    right = total = 0.0
    events = np.flatnonzero(event)
    for at in np.array_split(events, max(1, len(events) * len(time) // ROWS_AT_ONCE)):
        later = time > time[at, None]
        later |= (time == time[at, None]) & ~event
        pairs = later * weight
        less = risk[at, None] - risk
        ordered = np.where(np.abs(less) <= TIED, 0.5, less > 0)
        right += float((weight[at, None] * pairs * ordered).sum())
        total += float((weight[at, None] * pairs).sum())
    return right / total if total else None


def score_ranks(outputs: Tensor, targets: Tensor, weight: Tensor) -> float:
    """Return the concordance of outputs, (rows, 1); a half where there is none."""
    rank, event, _ = targets.cpu().numpy().T
    risk = outputs[:, 0].double().cpu().numpy()
    found = concordance(event > 0, rank, risk, weight.double().cpu().numpy())
    return 0.5 if found is None else found
