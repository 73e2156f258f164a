"""A table with categories, gaps and weights, in memory and in files."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from skjointprune._data.readers import slices

INPUTS = ["a", "b", "far", "level", "code", "whole", "flag"]


def make_frame(n=1200):
    """Return a frame: the inputs, targets `y` and `label`, weights `w`."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n)})
    frame["far"] = 1e6 + rng.normal(size=n)
    frame["level"] = rng.choice(
        ["low", "mid", "top", "odd"], n, p=[0.4, 0.4, 0.198, 0.002]
    )
    frame["code"] = pd.Categorical(rng.choice(["x", "y"], n))
    frame["whole"] = rng.integers(0, 9, n)
    frame["flag"] = rng.random(n) < 0.5
    frame.loc[rng.random(n) < 0.1, "level"] = None
    frame.loc[rng.random(n) < 0.2, "b"] = np.nan
    worth = frame["level"].map({"low": -1.0, "mid": 1.0}).fillna(0.0)
    frame["y"] = 2 * frame["a"] + worth + frame["b"].fillna(1.0)
    frame["label"] = np.where(frame["y"] > 0, "yes", "no")
    frame["w"] = np.where(np.arange(n) % 7 == 0, 0.0, rng.random(n))
    return frame


def write_parquet(frame, path, rows_of_a_group=150):
    """Write a frame to a file of several row groups; return its dataset."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pa.parquet.write_table(table, path, row_group_size=rows_of_a_group)
    return pa.dataset.dataset(path)


def read_epoch(rows, size=64):
    """Return X, y and weights of all batches of an epoch of rows, as arrays."""
    batches = rows.shuffled(slices(len(rows), size))
    parts = [(X, *targets) for X, targets in batches]
    return [np.concatenate([part[i].numpy() for part in parts]) for i in range(3)]


def in_order(X, y, weight):
    """Return rows in an order that does not depend on the one they have."""
    whole = np.column_stack([X, y, weight])
    return whole[np.lexsort(np.round(whole.T, 4))]
