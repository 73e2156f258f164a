"""Whether gradients tell what inputs do to the outputs.

They do where the outputs change without jumps. Where a number is compared with another,
rounded or looked up, the outputs jump.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from .._utils.torch import kind_of_rows

INTERVALS = 32  # of the way from the inputs to zero, to begin with
SHORTEST = 2.0**-12  # of the way: what still differs there is a jump
TOLERANCE = 0.1  # of the largest change of the outputs, on a whole way
OF_ONE_INTERVAL = TOLERANCE / 640  # and on each part of it
MOST_SLOPES = 20_000  # that are computed to find the columns in question
AT_ONCE = 16  # places on the way that are run together


def find_untold_inputs(module: nn.Module, rows: Tensor) -> Tensor:
    """Return a mask of the inputs whose gradients do not tell what they do, (inputs,).

    The others may go to zero together, while these stay as they are.
    """
    ways = _Ways(module, rows)
    n_inputs = rows.shape[1]
    try:
        untold = ways.flat_inputs()
        todo = [(~untold).nonzero().flatten()]
        while todo:  # halves of what has a jump
            columns = todo.pop()
            if len(columns) == 0 or ways.are_continuous(columns):
                continue
            if len(columns) > 1 and ways.n_slopes < MOST_SLOPES:
                todo += columns.tensor_split(2)
            else:
                untold[columns] = True
        together = (~untold).nonzero().flatten()
        if len(together) < n_inputs and not ways.are_continuous(together):
            untold[:] = True
    except Exception:  # the module does not run on these rows, or has no gradients
        return torch.ones(n_inputs, dtype=torch.bool)
    return untold


class _Ways:
    """Ways from rows to zeros, of some columns at a time."""

    def __init__(self, module: nn.Module, rows: Tensor):
        self.module = deepcopy(module).cpu().eval()
        self.rows = rows.cpu().to(**kind_of_rows(self.module))
        generator = torch.Generator().manual_seed(0)
        self.half = torch.rand(self.rows.shape, generator=generator) < 0.5
        self.n_slopes = 0
        self.at_once = AT_ONCE if self._rows_are_independent() else 1

    def _rows_are_independent(self) -> bool:
        """Tell whether rows give the same beside others, as not where dropout is on."""
        try:
            with torch.no_grad():
                other = self.rows.roll(1, 0) / 2
                apart = torch.cat([self.outputs(self.rows), self.outputs(other)])
                together = self.outputs(torch.cat([self.rows, other]))
        except Exception:  # it takes other numbers of rows, or runs on none
            return False
        return torch.allclose(together, apart, rtol=1e-4, atol=1e-5)

    def outputs(self, X: Tensor) -> Tensor:
        """Return a random sum of the outputs, (rows,)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # dropout, if there is any, is the same each time
            out = self.module(X.clone())
            return out @ torch.rand(out.shape[1]).to(out)

    def slopes(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return what rows give at several places, and the gradients by the inputs.

        `X` and the gradients are (places, rows, inputs), the outputs (places, rows).
        """
        self.n_slopes += len(X)
        outputs, gradients = [], []
        for part in X.split(self.at_once):
            at = part.detach().flatten(0, 1).clone().requires_grad_()
            with torch.enable_grad():
                out = self.outputs(at)
                (gradient,) = torch.autograd.grad(out.sum(), at)
            outputs.append(out.detach().view(part.shape[:2]))
            gradients.append(gradient.view(part.shape))
        return torch.cat(outputs), torch.cat(gradients)

    def flat_inputs(self) -> Tensor:
        """Return a mask of inputs that change the outputs, and have no gradient."""
        shares = torch.linspace(0.05, 1, 8)[:, None, None].to(self.rows)
        between = shares * self.rows + (1 - shares) * self.rows.roll(1, 0)  # two rows
        _, gradients = self.slopes(torch.cat([self.rows[None], between]))
        found = ~(gradients != 0).any(0).any(0)
        with torch.no_grad():
            expected = self.outputs(self.rows)
            for column in found.nonzero().flatten().tolist():
                others = [self.rows.clone() for _ in range(2)]
                others[0][:, column] = 0
                others[1][:, column] = self.rows[:, column].roll(1)
                found[column] = not all(
                    torch.equal(self.outputs(X), expected) for X in others
                )
        return found

    def are_continuous(self, columns: Tensor) -> bool:
        """Tell whether outputs do not jump while columns go to zero, half by half."""
        chosen = torch.zeros(self.rows.shape[1], dtype=torch.bool)
        chosen[columns] = True
        first, last = self.half & chosen, ~self.half & chosen
        start = torch.cat([self.rows, self.rows])
        go = start * torch.cat([first, last])
        rest = start * torch.cat([last, first])
        try:
            return self._is_continuous(start, go) and self._is_continuous(
                start - go, rest
            )
        except Exception:  # it does not run on the way
            return False

    def _is_continuous(self, start: Tensor, go: Tensor) -> bool:
        """Tell whether the outputs change by the integral of their gradient.

        An interval of the way where they do not is halved. A jump differs by as much
        in the shortest one, and a kink by no more than the steepest slope there.
        """

        def places(shares: Tensor) -> Tensor:
            return start - shares[:, None, None] * go

        shares = torch.linspace(0, 1, INTERVALS + 1).to(start)
        with torch.no_grad():
            ends = torch.cat(
                [
                    self.outputs(part.flatten(0, 1)).view(part.shape[:2])
                    for part in places(shares).split(self.at_once)
                ]
            )
        allowed = float((ends.amax(0) - ends.amin(0)).max()) * OF_ONE_INTERVAL
        missing, steepest = torch.zeros_like(ends[0]), 0.0
        # intervals: where they begin, how long they are, outputs before and after
        todo = [shares[:-1], shares.diff(), ends[:-1], ends[1:]]
        while len(todo[0]):
            left, width, before, after = (each[-self.at_once :] for each in todo)
            middle, gradients = self.slopes(places(left + width / 2))
            slopes = -(gradients * go).sum(dim=2)
            differs = after - before - width[:, None] * slopes
            if not bool(differs.isfinite().all()):
                return False
            steepest = max(steepest, float(slopes.abs().max()))
            of_kinks = steepest * width.clamp(max=2 * SHORTEST) / 2
            rough = differs.abs().amax(dim=1) > allowed + of_kinks + 1e-6
            missing = missing + differs[~rough].sum(dim=0)
            short = width[rough] <= SHORTEST
            if bool(short.any()) or (self.n_slopes > MOST_SLOPES and bool(rough.any())):
                return False
            left, half = left[rough], width[rough] / 2
            before, middle, after = before[rough], middle[rough], after[rough]
            halves = (
                torch.cat([left, left + half]),
                half.repeat(2),
                torch.cat([before, middle]),
                torch.cat([middle, after]),
            )
            pairs = zip(todo, halves, strict=True)
            todo = [torch.cat([e[: -self.at_once], new]) for e, new in pairs]
        most = TOLERANCE / OF_ONE_INTERVAL * allowed + 1e-6
        return bool((missing.abs() <= most).all())
