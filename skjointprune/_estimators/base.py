"""`JointPruneEstimator`: a fit in three phases, whatever it predicts."""

import os
from abc import abstractmethod
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from .._data.image_options import ImageInput
from .._data.targets import EncodedTargets
from .._report.html import ReportBelowDiagram
from .._training.choose import choose
from .._training.fit import Sparse
from .._training.plan import plan_of_fit
from .._training.problem import Problem
from .._training.progress import Progress
from .._training.ranks import Ranks, open_ranks
from .._training.search import search
from .._training.settings import OPTIMIZERS
from .._utils.seeds import seeded
from .._utils.sklearn import HasMethods, Interval, RealNotInt, StrOptions
from .._utils.torch import choose_device
from ..modules._build import NAMED_MODULES
from ..penalties import PENALTIES
from .checkpoints import CloneWithoutCheckpoint, checkpoint_of
from .fitted import FittedNetwork, adopt
from .passed_on import PassedOnParams
from .pose import pose
from .rollback import all_or_nothing


class JointPruneEstimator(
    CloneWithoutCheckpoint,
    FittedNetwork,
    PassedOnParams,
    ReportBelowDiagram,
    BaseEstimator,
):
    """The three phases of a fit.

    A subclass encodes y (`_encode`), once it has a form that can be checked
    (`_read_y`), and reads the outputs.
    """

    _parameter_constraints = {  # noqa: RUF012
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "n_features_to_select": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
        ],
        "prune": [StrOptions({"joint", "inputs", "weights", "none"})],
        "penalty": [StrOptions(set(PENALTIES)), HasMethods("prox")],
        "categorical_features": [
            "array-like",
            dict,
            StrOptions({"from_dtype"}),
            None,
        ],
        "feature_groups": [
            "array-like",
            dict,
            StrOptions({"auto"}),
            HasMethods("fit_transform"),
            FrozenEstimator,
            None,
        ],
        "feature_costs": ["array-like", dict, None],
        "unit_cost": [StrOptions({"constant", "macs", "params"})],
        "round_units_to": [Interval(Integral, 1, None, closed="left")],
        "input_noise": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "distillation": [Interval(Real, 0, 1, closed="both")],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left")],
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "retrain_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 0, None, closed="left"),
        ],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "standardize": ["boolean"],
        "validation_fraction": [None, Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
        "device": [str, torch.device],
        "verbose": ["verbose"],
        "callbacks": [list, tuple, None],
        "checkpoint": [str, os.PathLike, None],
        "images": [ImageInput, None],
        "module": [callable, StrOptions(set(NAMED_MODULES)), None],
        "amp": ["boolean"],
        "compile": ["boolean", str],
    }
    _y_numeric: bool  # whether y, once it is read, holds numbers
    _needs_all_rows = False  # in memory, as a row has a loss beside the others only

    def _read_y(self, y: Any) -> Any:
        """Return y as a kind of input checks it beside X."""
        return y

    @abstractmethod
    def _encode(self, y: Any, weight: np.ndarray) -> EncodedTargets:
        """Return numeric targets and the weights of rows, and how to decode."""

    def _fit(self, X, y, sample_weight):
        with all_or_nothing(self), open_ranks() as ranks:
            self._fit_on(ranks, X, y, sample_weight)
        return self

    def _fit_on(self, ranks: Ranks, X, y, sample_weight) -> None:
        """Fit, where each of some processes does the same."""
        ranks.refuse_params(compile=self.compile, checkpoint=self.checkpoint)
        device = ranks.device(choose_device(self.device))
        progress = Progress(0 if ranks.number else int(self.verbose))
        checkpoint = checkpoint_of(self, self.checkpoint, device)
        with progress, checkpoint:
            seed = ranks.value_of_first(checkpoint.draw_seed(self.random_state))
            with seeded(seed, device):
                problem = pose(
                    self, X, y, sample_weight, seed, device, progress, checkpoint, ranks
                )
                plan = plan_of_fit(problem, self.alpha)
                progress.expect(plan, problem.inputs.n_numbers)
                # 1. Sparsify. Groups are removed as they die, so training gets cheaper.
                sparse = self._sparsify(problem)
                # 2. Trace back: what no weight reads any more is not needed.
                traced = problem.trace_back(sparse)
                # 3. Compact, and retrain what is left.
                adopt(self, problem.retrain(sparse, traced))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def _sparsify(self, problem: Problem) -> Sparse:
        if self.alpha == "auto" and problem.searches:
            return search(problem)
        if self.alpha == "auto" and problem.chooses:
            return choose(problem)
        return problem.sparsify(problem.start(), self.alpha)
