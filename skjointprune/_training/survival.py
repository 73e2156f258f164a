"""Cox's partial likelihood as a loss of rows, and the concordance of risk scores."""

import numpy as np
import torch
from torch import Tensor, nn

PAIRS_AT_ONCE = 2**22  # of rows, that are compared at once
TIED = 1e-8  # risk scores that differ by no more count as equal
LEAST, MUCH = 1e-30, 1e30  # within float32, and with finite gradients


class CoxLoss(nn.Module):
    """The negative log partial likelihood, with Efron's ties, as losses of rows.

    An event is set against the rows that are at risk at its time: those of the batch
    that end no earlier. Events at one time share their terms (Efron, "The efficiency of
    Cox's likelihood function for censored data", JASA 72, 1977).

    The losses, each times its weight, add up to the likelihood. Each row, also a
    censored one, has its term of the full likelihood under Breslow's hazard: it is
    blamed for the hazard that it outlasted. Those terms add up to the number of events,
    so they move no sum; but with them losses are nearly independent, as standard errors
    need it. (With the terms of events alone these are half as large again as they
    should be.) Each loss is less that of equal outputs: so it is 0 where nothing is
    known, however many rows are at risk.

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
        rows = _InOrder(rank, event, weight)
        losses = rows.losses(f) - rows.losses(torch.zeros_like(f))
        return torch.empty_like(f).index_copy(0, order, losses)


class _InOrder:
    """Rows in the order of time, and which of them have one time."""

    def __init__(self, rank: Tensor, event: Tensor, weight: Tensor):
        self.event, self.log_weight = event, weight.log()
        new = torch.ones_like(rank, dtype=torch.long)
        new[1:] = (rank[1:] != rank[:-1]).long()
        self.group = new.cumsum(0) - 1  # the number of the time of each row
        self.first = torch.searchsorted(rank, rank)  # of the rows of that time,
        self.last = torch.searchsorted(rank, rank, right=True) - 1
        n_before = event.cumsum(0) - event
        n_events = self._of_group(event).clamp(min=1)
        # before an event, the share of those of its time, one after the other
        self.gone = event * (n_before - n_before[self.first]) / n_events
        self.n_events = n_events
        self.mean_weight = self._of_group(event * weight) / n_events

    def losses(self, f: Tensor) -> Tensor:
        """Return the loss of each row for logs of hazard ratios, (rows,)."""
        log_risk = f + self.log_weight
        at_risk = log_risk.flip(0).logcumsumexp(0).flip(0)[self.first]  # a log
        # Events at one time leave in part, while the others happen.
        dying = self._of_group(self.event * (log_risk - at_risk).exp()).clamp(max=1)
        left = torch.log1p(-self.gone * dying)
        log_set = at_risk + self._of_group(self.event * left) / self.n_events
        outlasted = (f + self._log_hazard(at_risk + left)).exp()
        step = self.mean_weight * (-left).exp()
        spared = self._of_group(self.event * self.gone * step) * (f - at_risk).exp()
        return self.event * (log_set - f - spared) + outlasted

    def _log_hazard(self, log_set: Tensor) -> Tensor:
        """Return the log of the cumulative hazard at the time of each row."""
        steps = self.mean_weight.clamp(min=LEAST).log() - log_set
        steps = torch.where(self.event > 0, steps, -MUCH)
        return steps.logcumsumexp(0)[self.last]

    def _of_group(self, values: Tensor) -> Tensor:
        """Return the sum over the rows of the same time, (rows,)."""
        sums = torch.zeros_like(values).index_add(0, self.group, values)
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
    for at in np.array_split(events, max(1, len(events) * len(time) // PAIRS_AT_ONCE)):
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
