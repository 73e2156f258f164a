"""What `tables.py` prints: scores, shares of cells, ranks and seconds.

A *cell* is a table, with extra columns or not, at one level of k. A method has *ended*
in a cell if all its runs are there, or if it was over the limit of time.
"""

from collections import defaultdict

import numpy as np
from _common import mean_and_std, print_table
from _tables import ALL, CHOOSING, MODELS
from scipy.stats import rankdata

TOLERANCE = 0.005
LEVELS = ["1/4", "1/2", "10", "25", "50"]
GROUPS = {
    "regression": lambda run: run["regression"],
    "classification": lambda run: not run["regression"],
    "few rows (under 300 rows, over 300 inputs; classification has them too)": (
        lambda run: run["table_rows"] < 300 and run["table_inputs"] > 300
    ),
}


def print_all(runs):
    """Print all tables, first those without and then those with extra columns."""
    for extra in (False, True):
        part = [run for run in runs if run["extra"] == extra]
        if part:
            print(f"\n## Tables {'with extra columns' if extra else 'as they are'}")
            print_part(part)


def print_part(runs):
    """Print scores for each level, ranks for each group, and seconds."""
    cells = cells_of(runs)
    for level in [*LEVELS, ALL]:
        methods = _present(cells, MODELS if level == ALL else CHOOSING, [level])
        rows = score_rows(cells, level, methods)
        if rows:
            title = "All inputs" if level == ALL else f"k = {level}"
            print(f"\n{title}: accuracy or R2, mean ± std over runs")
            print_table(rows)
    for group, belongs in GROUPS.items():
        part = cells_of(filter(belongs, runs))
        rows = rank_rows(part, _present(part, CHOOSING, LEVELS))
        if rows:
            print(f"\n{group}: share of cells where ours is at least equal, within")
            print(f"{TOLERANCE}, to the best other choice; average ranks over tables")
            print_table(rows)
    rows = [
        row
        for group, belongs in GROUPS.items()
        for row in versus_rows(
            cells_of(filter(belongs, runs)), group.partition(" (")[0]
        )
    ]
    if rows:
        print("\nAll inputs: our dense network against histogram boosting")
        print_table(rows)
    print("\nSeconds of choosing and fitting, mean over runs")
    print_table(second_rows(cells, _present(cells, [*CHOOSING, *MODELS])))


def cells_of(runs):
    """Return {(table, level): {method: [run, ...]}}."""
    cells = defaultdict(lambda: defaultdict(list))
    for run in runs:
        cells[run["table"], run["level"]][run["method"]].append(run)
    return cells


def _present(cells, methods, levels=(*LEVELS, ALL)):
    there = {m for (_, level), cell in cells.items() if level in levels for m in cell}
    return [method for method in methods if method in there]


def failed(runs):
    """Whether a method was over the limit of time in one of its runs."""
    return any(run["score"] is None for run in runs)


def mean_scores(cell, methods):
    """Return the mean score of each method, or None unless all of them have ended.

    A method over the limit has minus infinity. Means are rounded as they are printed,
    so that what looks equal is equal.
    """
    ended = {m: {run["run"] for run in cell[m]} for m in methods if not failed(cell[m])}
    if len(set(map(frozenset, ended.values()))) != 1 or set() in ended.values():
        return None
    return {
        m: round(float(np.mean([run["score"] for run in cell[m]])), 4)
        if m in ended
        else -np.inf
        for m in methods
    }


def score_rows(cells, level, methods):
    """Return a row for each table."""
    rows = []
    for (table, at), cell in cells.items():
        if at != level:
            continue
        first = next(iter(cell.values()))[0]
        row = {"table": table}
        if level != ALL:
            row["k"] = first["k"]
        n_runs = max(map(len, cell.values()))
        for method in methods:
            row[method] = _score(cell[method], n_runs)
        rows.append(row | {"runs": n_runs})
    return rows


def _score(runs, n_runs):
    if failed(runs):
        return "over the limit"
    if not runs:
        return ""
    fewer = f" ({len(runs)})" if len(runs) < n_runs else ""
    return mean_and_std([run["score"] for run in runs]) + fewer


def rank_rows(cells, methods):
    """Return a row for each level and one for all: share of cells, average ranks."""
    ended, left_out = defaultdict(list), defaultdict(int)
    for (_, level), cell in cells.items():
        if level == ALL:
            continue
        means = mean_scores(cell, methods)
        for at in (level, "each k"):
            if means is None:
                left_out[at] += 1
            else:
                ended[at].append([means[method] for method in methods])
    rows = []
    for level in [*LEVELS, "each k"]:
        if level not in ended and level not in left_out:
            continue
        row = {"k": level, "cells": len(ended[level]), "not ended": left_out[level]}
        scores = np.array(ended[level]).reshape(-1, len(methods))
        row["ours at least equal"] = share_of_ours(scores, methods)
        ranks = rankdata(-scores, axis=1).mean(axis=0) if len(scores) else []
        row |= dict.fromkeys(methods, "")
        row |= {m: f"{rank:.2f}" for m, rank in zip(methods, ranks, strict=False)}
        rows.append(row)
    return rows


def share_of_ours(scores, methods):
    """Return 'won of all' and their share; scores are (cells, methods)."""
    if "ours" not in methods or len(methods) < 2 or not len(scores):
        return ""
    i = methods.index("ours")
    best = np.delete(scores, i, axis=1).max(axis=1)
    # a hair more than the tolerance: a difference of just .005 is within it
    equal = int((scores[:, i] >= best - TOLERANCE - 1e-9).sum())
    return f"{equal} of {len(scores)}, {equal / len(scores):.3f}"


def versus_rows(cells, group):
    """Return a row: how often our dense network is better, and where it is worst."""
    pair = ["dense", "boosting"]
    means = {
        table: mean_scores(cell, pair)
        for (table, level), cell in cells.items()
        if level == ALL
    }
    gains = {
        table: mean["dense"] - mean["boosting"] for table, mean in means.items() if mean
    }
    if not gains:
        return []
    worst = min(gains, key=gains.get)
    return [
        {
            "group": group,
            "tables": len(gains),
            "better": sum(gain > 0 for gain in gains.values()),
            "equal": sum(gain == 0 for gain in gains.values()),
            "worst difference": f"{gains[worst]:+.4f}",
            "of": worst,
        }
    ]


def second_rows(cells, methods):
    """Return a row for each cell: mean seconds of each method."""
    rows = []
    for (table, level), cell in cells.items():
        row = {"table": table, "k": level}
        for method in methods:
            seconds = [run["seconds"] for run in cell[method] if run["seconds"]]
            row[method] = f"{np.mean(seconds):.1f}" if seconds else ""
        rows.append(row)
    return rows
