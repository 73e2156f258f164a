"""A few rows of each kind of input, and what an estimator needs for them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _pictures import SmallConvNet

from skjointprune import JointPruneClassifier
from skjointprune._data.image_inputs import ImageInputs
from skjointprune._data.prepare import Preparation
from skjointprune._data.table_inputs import TableInputs
from skjointprune._data.targets import Classes
from skjointprune._graph.groups import find_groups
from skjointprune._training.network import dense_module

CPU = torch.device("cpu")
FLOAT = torch.float32


@dataclass
class Example:
    """Some rows of a kind, and parameters of an estimator for them."""

    kind: type
    shape: tuple
    module: Any  # of a network that takes such rows
    other: Any  # one for another kind
    n_inputs: int  # that go exactly: columns or channels

    @property
    def X(self):
        return np.random.default_rng(0).normal(3, 2, (40, *self.shape))

    @property
    def y(self):
        return np.arange(40) % 2

    def check(self, X=None, y=None, **params):
        """Return what `check` does, and the estimator that it was given."""
        estimator = JointPruneClassifier(module=self.module, **params)
        X, y = (self.X if X is None else X), (self.y if y is None else y)
        return *self.kind.check(estimator, X, y, y_numeric=False), estimator

    def network(self, inputs):
        module = dense_module(
            inputs,
            targets=Classes(np.arange(2)),
            module=self.module,
            hidden_layer_sizes=(4,),
            params={},
        )
        return find_groups(module, inputs.shape)


EXAMPLES = {
    "table": Example(TableInputs, (5,), None, "vgg16", 5),
    "images": Example(ImageInputs, (3, 6, 7), SmallConvNet, None, 3),
}
TABLE, IMAGES = EXAMPLES.values()
HOW = Preparation(
    validation_fraction=0.25,
    standardize=True,
    scale_targets=False,
    seed=0,
    device=CPU,
)


def prepared(example, inputs, rows=None, how=HOW):
    rows = np.arange(40) if rows is None else rows
    y, weight = example.y[rows], np.ones(len(rows))
    return inputs.prepare(example.X, rows, y, weight, how)[1]
