"""Seconds of one fit on MNIST beside a hand-written loop of the same work.

The loop takes the same number of optimiser steps, on batches of the same size, on the
same dense network, with the same optimiser, device and threads. It neither prunes nor
scores held-out rows. "fused" is the loop with torch's faster variant of the optimiser.
The runs alternate; the table has the minimum and the median over repeats, and the
ratio of the fit's seconds to the loop's. Compare on one thread:

    OMP_NUM_THREADS=1 python overhead.py --data FOLDER
"""

import math
import statistics
import time

import torch
from _common import make_parser, print_header, print_table
from _data import add_data_option, load

from skjointprune import JointPruneClassifier
from skjointprune.modules import MLP

TARGET = 1.25


def hand_written(X, y, steps, batch_size, device, fused):
    """Train the dense network as a user of plain torch would."""
    scale = X.std(axis=0)
    scale[scale == 0] = 1
    X = torch.from_numpy((X - X.mean(axis=0)) / scale).to(device)
    y = torch.from_numpy(y).to(device)
    module = MLP(X.shape[1], int(y.max()) + 1, hidden_layer_sizes=(256, 128)).to(device)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=fused)
    criterion = torch.nn.CrossEntropyLoss()
    module.train()
    step = 0
    while step < steps:
        perm = torch.randperm(len(X), device=device)
        for i in range(0, len(X), batch_size):
            idx = perm[i : i + batch_size]
            optimizer.zero_grad()
            loss = criterion(module(X[idx]), y[idx])
            loss.backward()
            optimizer.step()
            step += 1
            if step == steps:
                break
    return loss.item()  # waits for the device


def seconds(function, *args):
    """Return the seconds of a call, and its result."""
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def main():
    """Print a table of the three contestants."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, help="at most so many training rows")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    print_header()

    X, y, *_ = load("mnist", args.data, args.rows)
    clf = JointPruneClassifier(alpha=0.02, random_state=0, device=args.device)
    taken = {"fit": [], "loop": [], "loop, fused": []}
    for _ in range(args.repeats):
        taken["fit"].append(seconds(clf.fit, X, y)[0])
        batches = clf.history_[:, "train_batch_count"]
        n_train = len(X) * (1 - (clf.validation_fraction or 0))
        batch_size = math.ceil(n_train / max(batches))
        for name, fused in (("loop", False), ("loop, fused", True)):
            work = (X, y, sum(batches), batch_size, args.device, fused)
            taken[name].append(seconds(hand_written, *work)[0])
    print(f"{sum(batches)} steps of about {batch_size} rows, {clf.n_iter_} epochs")

    def ratio(name, summary):
        return summary(taken["fit"]) / summary(taken[name])

    median = statistics.median
    print_table(
        [
            {
                "run": name,
                "minimum s": f"{min(times):.2f}",
                "median s": f"{median(times):.2f}",
                "fit / this, minimum": f"{ratio(name, min):.3f}",
                "fit / this, median": f"{ratio(name, median):.3f}",
            }
            for name, times in taken.items()
        ]
    )
    for name in ("loop", "loop, fused"):
        verdict = "holds" if ratio(name, median) <= TARGET else "MISSED"
        print(f"at most {TARGET} times the {name}: {verdict}")


if __name__ == "__main__":
    main()
