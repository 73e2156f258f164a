"""`StreamedInputs`: the columns of a table that is not in memory."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import validate_data

from .._storage.digest import digest
from .categorical_features import resolve_categories
from .check_tables import refuse_unscalable
from .columns import Columns
from .feature_costs import check_costs
from .feature_groups import resolve_groups
from .inputs import Inputs, refuse_parameters
from .prepare import Data, Scaling
from .scan import Scan, check_scan, count_labels, recode
from .sources import Source, Y
from .streamed_table import Encoding, StreamedTable
from .table_inputs import TableInputs
from .targets import LabelSets, Numbers, Targets, encode_labels

ROWS_TO_LOOK_AT = 10_000  # for groups that names and data tell
# In memory, of the rows held out, and of a sample of those to train on
MOST_HELD_OUT, MOST_SAMPLED = 2**15, 2**14
LEAST_SAMPLED, NUMBERS_SAMPLED = 2**10, 2**23


@dataclass(frozen=True, eq=False)
class StreamedInputs(TableInputs):
    """Columns of a `Source`, which is read once before and once an epoch.

    Rows are held out at random, some thousands at most; what needs rows in memory is
    given a sample of those to train on. What is fitted is a `TableInputs`.
    """

    @staticmethod
    def takes(X: Any) -> bool:
        """Tell whether X is a source, as `open_table` returns it."""
        return isinstance(X, Source)

    @classmethod
    def check(
        cls, estimator: Any, X: Source, y: Any, *, y_numeric: bool
    ) -> tuple[Self, Any, Any]:
        """Check columns by the first rows; others are looked at as they come."""
        head = X.head(ROWS_TO_LOOK_AT)
        validate_data(estimator, head, skip_check_array=True)
        shape = (X.n_columns,)
        refuse_parameters(estimator, "images", shape, {"images": None})
        names = getattr(estimator, "feature_names_in_", None)
        given = estimator.categorical_features
        by_type = isinstance(given, str) and given == "from_dtype"
        found = X.categories if by_type else resolve_categories(given, head, names)
        groups = resolve_groups(estimator.feature_groups, np.asarray(head), names)
        costs = check_costs(estimator.feature_costs, X.n_columns, names)
        columns = Columns(X.n_columns, {i: [] for i in found})
        return cls(shape, names, groups, columns, costs), X, y

    def digest(self, X: Source) -> str:
        """Return a digest of the first rows, and of how many there are in each piece.

        The fit itself sees whether rows that are held out have changed.
        """
        head = np.asarray(X.head(ROWS_TO_LOOK_AT))
        return digest([self.shape, self.names, X.lengths, head])

    def make_data(
        self,
        estimator: Any,
        X: Source,
        y: Any,
        sample_weight: Any,
        seed: int,
        device: torch.device,
    ) -> tuple[Inputs, Targets, Data]:
        """Read all rows once, and return the data, whose rows are read later."""
        rng = np.random.default_rng(seed)
        targets, codes_of_y, factors = _count_targets(estimator, X)
        held_out, drawn = _draw_rows(X, estimator.validation_fraction or 0.0, rng)
        categories = list(self.columns.levels)
        scan = Scan(X, categories, codes_of_y, factors, held_out, drawn)
        check_scan(scan, targets)
        largest, scaled = scan.moments.largest, estimator.standardize
        refuse_unscalable(largest, self.names, scaled=scaled)
        columns, new_codes = scan.learn_columns(self.columns)
        target_scaling = None
        if targets.are_numbers:
            mean, scale = scan.moments_of_y.scaling(scan.n_rows)
            target_scaling = Scaling(torch.from_numpy(mean), torch.from_numpy(scale))
        encoding = Encoding(
            columns,
            scan.scaling(columns, new_codes) if estimator.standardize else None,
            codes_of_y,
            target_scaling,
            factors,
            float(scan.moments_of_y.weight[0]) / scan.n_rows,
        )
        valid, sample = (
            encoding.table(recode(block, new_codes), device)
            for block in (scan.valid, scan.sample)
        )
        train = StreamedTable(
            X, encoding, scan.held_out, scan.valid.y, scan.n_rows, sample
        )
        inputs = TableInputs(self.shape, self.names, self.groups, columns, self.costs)
        data = Data(
            train,
            valid if len(valid) else None,
            encoding.scaling,
            target_scaling,
            inputs.gates(device),
        )
        return inputs, targets, data


def _count_targets(
    estimator: Any, source: Source
) -> tuple[Targets, dict[int, dict[Any, int]], np.ndarray | None]:
    """Return what y is, the codes of its labels, and the weights of classes."""
    n_outputs = int(np.prod(source.shape_of_y))
    if estimator._y_numeric:
        return Numbers(n_outputs, flat=not source.shape_of_y), {}, None
    if n_outputs > 1:
        if estimator.class_weight is not None:
            raise ValueError(
                "`class_weight` is for one class a row, where rows are read as they "
                f"are needed. Got {estimator.class_weight!r} with {n_outputs} labels "
                "a row; pass `sample_weight`."
            )
        return LabelSets(n_outputs), {}, None
    labels, counts = count_labels(source)
    classes, factors = encode_labels(labels, counts, estimator.class_weight)
    codes = {label: code for code, label in enumerate(labels)}
    return classes, {Y: codes}, factors


def _draw_rows(
    source: Source, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw positions of rows to hold out, and of a sample of the others, ascending."""
    n = source.n_rows
    most = max(LEAST_SAMPLED, NUMBERS_SAMPLED // source.n_columns)
    n_out = min(int(fraction * n), MOST_HELD_OUT, most)
    n_sampled = min(n - n_out, MOST_SAMPLED, most)
    drawn = rng.choice(n, n_out + n_sampled, replace=False)
    return np.sort(drawn[:n_out]), np.sort(drawn[n_out:])
