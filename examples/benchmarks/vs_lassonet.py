"""Seconds and accuracy to exactly k inputs: ours, trained briefly, and LassoNet.

LassoNet follows its default path; its seconds are those until at most k inputs are left
(of fitting scalers and data nothing is counted), and its accuracy is that of its own
dense refit on them. Ours is a fit of the package's defaults but for the number of
steps: about 700 of sparsifying and 700 of retraining. One process, one after the other.

    python vs_lassonet.py --data FOLDER
"""

import sys
import time

import numpy as np
from _choosers import choose_lassonet
from _common import make_parser, print_header, print_table
from _data import DATASETS, add_data_option, load

STEPS = 700


def ours(split, k, seed):
    """Return accuracy and seconds of a short fit."""
    start = time.perf_counter()
    batch = 128 if len(split.y_train) > 5_000 else 64
    epochs = max(1, round(STEPS * batch / len(split.y_train)))
    net = split.estimator(
        prune="inputs",
        n_features_to_select=k,
        batch_size=batch,
        lr=2e-3,
        max_epochs=epochs,
        retrain_epochs=epochs,
        validation_fraction=None,
        random_state=seed,
    ).fit(split.X_train, split.y_train)
    seconds = time.perf_counter() - start
    return net.score(split.X_test, split.y_test), seconds


def main():
    """Print a row for each data set and k."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    names = ["mice", "mice_grouped", "coil20", "isolet", "madelon", "pumadyn32nm"]
    parser.add_argument("--only", nargs="+", choices=DATASETS, default=names)
    parser.add_argument("--k", type=int, nargs="+", default=[10, 25, 50, 100])
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    print_header()
    rows = []
    for data in args.only:
        split = load(data, args.data)
        ks = [k for k in sorted(args.k) if k < split.n_features]
        theirs, mine = [], []
        for seed in range(args.seeds):
            mine.append([ours(split, k, seed) for k in ks])
            print(data, seed, mine[-1], file=sys.stderr, flush=True)
            found = choose_lassonet(split, ks, seed)
            theirs.append([(own[0], seconds) for _, own, seconds in found])
            print(data, seed, theirs[-1], file=sys.stderr, flush=True)
        for i, k in enumerate(ks):
            (score, time_), (their_score, their_time) = (
                np.mean([run[i] for run in runs], axis=0) for runs in (mine, theirs)
            )
            rows.append(
                {
                    "data": data,
                    "k": k,
                    "ours": f"{score:.4f}",
                    "LassoNet": f"{their_score:.4f}",
                    "ours, s": f"{time_:.1f}",
                    "LassoNet, s": f"{their_time:.1f}",
                    "times as fast": f"{their_time / time_:.1f}",
                    "seeds": args.seeds,
                }
            )
        print_table(rows[-len(ks) :])
    print_table(rows)


if __name__ == "__main__":
    main()
