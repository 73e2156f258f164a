"""Size and scores of a network before and after pruning."""

import math
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from .._graph.network import Network
from .._utils.optional import import_optional
from .._utils.torch import evaluating, kind_of_rows
from .html import report_html


@dataclass(frozen=True)
class NetworkSize:
    """The size of one network.

    Attributes
    ----------
    inputs : int
        Number of inputs: columns, or numbers of an image.
    units : dict of str to int
        Units of each hidden layer, by the name of the layer.
    parameters : int
        Number of trainable numbers.
    macs : int
        Multiply-accumulate operations for one row, of linear layers, convolutions and
        attention.

    Examples
    --------
    >>> from skjointprune import NetworkSize
    >>> size = NetworkSize(inputs=4, units={"linear1": 8}, parameters=67, macs=56)
    >>> size.flops
    112
    """

    inputs: int
    units: dict[str, int]
    parameters: int
    macs: int

    @property
    def flops(self) -> int:
        """Floating-point operations for one row, counted as 2 x MACs."""
        return 2 * self.macs

    @classmethod
    def of(
        cls,
        network: Network,
        inputs: int | None = None,
        units: dict[str, int] | None = None,
    ) -> "NetworkSize":
        """Measure a network.

        `inputs` is how many it reads, None for all. `units` are those of its layers,
        where its module is around the one that has the names of the channels.
        """
        units = network.units if units is None else units
        size = cls.of_module(network.module, network.input_shape, units)
        return size if inputs is None else replace(size, inputs=inputs)

    @classmethod
    def of_module(
        cls, module: nn.Module, shape: tuple[int, ...], units: dict[str, int]
    ) -> "NetworkSize":
        """Measure a module for rows of a shape, whose units are known."""
        with evaluating(module):
            two, three = (_count_flops(module, n_rows, shape) for n_rows in (2, 3))
        return cls(
            inputs=math.prod(shape),
            units=units,
            parameters=sum(p.numel() for p in module.parameters()),
            # Of one row, with what does not depend on rows: products of weights.
            macs=(2 * two - three) // 2,
        )


def _count_flops(module: nn.Module, n_rows: int, shape: tuple[int, ...]) -> int:
    """Count the floating-point operations for some rows."""
    # Imported here as it imports triton, where there is one.
    from torch.utils.flop_counter import FlopCounterMode

    rows = torch.zeros(n_rows, *shape, **kind_of_rows(module))
    # Not within `no_grad`, where the counter fails on layers that read an expanded
    # parameter.
    with FlopCounterMode(display=False, custom_mapping=MORE_FLOPS) as counter:
        module(rows)
    return counter.get_total_flops()


def _flops_of_attention(query, key, value, *args, **kwargs) -> int:
    from torch.utils.flop_counter import sdpa_flop_count

    return sdpa_flop_count(query, key, value)


def _flops_of_recurrence(rows, weights) -> int:
    """Count for `rows`, (steps, rows, inputs), through weights; all given as shapes."""
    steps, n, _ = rows
    return 2 * steps * n * sum(math.prod(w) for w in weights if len(w) == 2)


# torch counts attention on a GPU only, and no recurrent layer that is fused.
aten = torch.ops.aten
MORE_FLOPS = {
    aten._scaled_dot_product_flash_attention_for_cpu: _flops_of_attention,
    aten.mkldnn_rnn_layer: lambda rows, *w, **_: _flops_of_recurrence(rows, w[:2]),
    aten._cudnn_rnn: lambda rows, ws, *_, **__: _flops_of_recurrence(rows, ws),
}


@dataclass(frozen=True)
class PruningReport:
    """What pruning did to a network.

    Attributes
    ----------
    dense, pruned : NetworkSize
        The network before pruning and the finished one.
    scores : dict of str to (float or None)
        Score on held-out rows "before pruning", just before the first group went;
        "after pruning", when sparsifying ended; and "after retraining", of the
        finished network. None where no rows were held out.
    kept_whole : dict of str to str
        Layers (or "inputs") that could not be pruned, with the reason.
    score_name : str
        What the scores are: "accuracy" (for several labels, of all of a row) or "R2".
    jaccard : float or None
        Mean Jaccard overlap of the inputs retained in two folds of cross-validation,
        each a fit on other rows with another seed. None without folds.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skjointprune import JointPruneClassifier
    >>> clf = JointPruneClassifier(
    ...     (8,), n_features_to_select=2, max_epochs=5, retrain_epochs=0, random_state=0
    ... )
    >>> report = clf.fit(*load_iris(return_X_y=True)).report_
    >>> report.pruned.inputs, report.inputs_ratio
    (2, 0.5)
    """

    dense: NetworkSize
    pruned: NetworkSize
    scores: dict[str, float | None]
    kept_whole: dict[str, str] = field(default_factory=dict)
    score_name: str = "accuracy"
    jaccard: float | None = None

    @property
    def inputs_ratio(self) -> float:
        """Retained share of the inputs."""
        return self.pruned.inputs / self.dense.inputs

    @property
    def parameters_ratio(self) -> float:
        """Retained share of the parameters."""
        return self.pruned.parameters / self.dense.parameters

    @property
    def macs_ratio(self) -> float:
        """Retained share of the MACs, and so of the FLOPs."""
        return self.pruned.macs / self.dense.macs

    def _sizes(self) -> list[tuple[str, int, int]]:
        """Return the name of each size, and its values before and after pruning."""
        dense, pruned = self.dense, self.pruned
        units = [(f"units of {n}", k, pruned.units[n]) for n, k in dense.units.items()]
        return [
            ("inputs", dense.inputs, pruned.inputs),
            *units,
            ("parameters", dense.parameters, pruned.parameters),
            ("MACs", dense.macs, pruned.macs),
            ("FLOPs (2 x MACs)", dense.flops, pruned.flops),
        ]

    def to_frame(self):
        """Return the sizes and the held-out score as a DataFrame.

        Returns
        -------
        pandas.DataFrame
            Rows "dense" and "pruned"; columns "inputs", "units of …" for each layer,
            "parameters", "MACs", "FLOPs (2 x MACs)", and the score, by its name:
            before pruning, and of the finished network. `jaccard` belongs to neither,
            and is left out.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_optional("pandas", "PruningReport.to_frame", "pandas")
        columns: dict[str, list] = {name: sizes for name, *sizes in self._sizes()}
        moments = ("before pruning", "after retraining")
        columns[self.score_name] = [self.scores.get(when) for when in moments]
        frame = pandas.DataFrame(columns, index=["dense", "pruned"])
        return frame.astype({self.score_name: float})

    def _repr_html_(self) -> str:
        return report_html(self, self._sizes())

    def __repr__(self) -> str:
        table = [
            (name, f"{before:,}", f"{after:,}", f"{after / before:.1%}")
            for name, before, after in self._sizes()
        ]
        table.insert(0, ("", "dense", "pruned", "kept"))
        least = (22, 12, 12, 9)  # characters of each column
        widths = [
            max(width, 1 + max(map(len, cells)))
            for width, cells in zip(least, zip(*table, strict=True), strict=True)
        ]
        lines = [
            name.ljust(widths[0])
            + "".join(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))
            for name, *cells in table
        ]
        scores = [f"{s:.4f} {when}" for when, s in self.scores.items() if s is not None]
        lines.append(
            f"held-out {self.score_name}: " + (", ".join(scores) or "no rows held out")
        )
        if self.jaccard is not None:
            lines.append(f"inputs of two folds: Jaccard overlap {self.jaccard:.2f}")
        lines += [f"{name} kept whole: {why}" for name, why in self.kept_whole.items()]
        return "\n".join(lines)
