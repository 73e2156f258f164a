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
MOST_SLOPES = 50_000  # that are computed to find the columns in question


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

    def outputs(self, X: Tensor) -> Tensor:
        """Return a random sum of the outputs, (rows,)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # dropout, if there is any, is the same each time
            out = self.module(X.clone())
            return out @ torch.rand(out.shape[1]).to(out)

    def slope(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs, (rows,), and their gradient by the inputs, (rows, inputs)."""
        self.n_slopes += 1
        X = X.detach().clone().requires_grad_()
        with torch.enable_grad():
            out = self.outputs(X)
            (gradient,) = torch.autograd.grad(out.sum(), X)
        return out.detach(), gradient

    def flat_inputs(self) -> Tensor:
        """Return a mask of inputs that change the outputs, and have no gradient."""
        shares = torch.linspace(0.05, 1, 8).tolist()
        some = [self.slope(self.rows)[1]]
        for share in shares:  # numbers between those of two rows
            mixed = share * self.rows + (1 - share) * self.rows.roll(1, 0)
            some.append(self.slope(mixed)[1])
        found = ~(torch.stack(some) != 0).any(0).any(0)
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

        def at(share: float) -> Tensor:
            with torch.no_grad():
                return self.outputs(start - share * go)

        ends = [at(i / INTERVALS) for i in range(INTERVALS + 1)]
        values = torch.stack(ends)
        allowed = float((values.amax(0) - values.amin(0)).max()) * OF_ONE_INTERVAL
        todo = [
            (i / INTERVALS, 1 / INTERVALS, ends[i], ends[i + 1])
            for i in range(INTERVALS)
        ]
        missing, steepest = torch.zeros_like(ends[0]), 0.0
        while todo:
            left, width, before, after = todo.pop()
            middle, gradient = self.slope(start - (left + width / 2) * go)
            slope = -(gradient * go).sum(dim=1)
            steepest = max(steepest, float(slope.abs().max()))
            differs = after - before - width * slope
            of_kinks = steepest * min(width, 2 * SHORTEST) / 2
            if not bool(differs.isfinite().all()):
                return False
            if float(differs.abs().max()) <= allowed + of_kinks + 1e-6:
                missing = missing + differs
            elif width <= SHORTEST or self.n_slopes > MOST_SLOPES:
                return False
            else:
                todo.append((left, width / 2, before, middle))
                todo.append((left + width / 2, width / 2, middle, after))
        most = TOLERANCE / OF_ONE_INTERVAL * allowed + 1e-6
        return bool((missing.abs() <= most).all())
