"""MNIST with package defaults: dense, weights only pruned, weights and inputs pruned.

Prints means over seeds of what is left of the network and of the test accuracy, and
whether the joint network is within 0.3 points of the dense one with at most half its
inputs and a quarter of its parameters.

    python mnist_joint.py --data FOLDER
"""

import time

import numpy as np
from _common import make_parser, mean_and_std, print_header, print_table
from _data import add_data_option, load

from skjointprune import JointPruneClassifier

MODES = {"dense": "none", "weights only": "weights", "joint": "joint"}


def fit_once(split, prune, seed):
    """Fit one network; return its size, accuracy and seconds."""
    start = time.perf_counter()
    clf = JointPruneClassifier(alpha=0.02, prune=prune, random_state=seed)
    clf.fit(split.X_train, split.y_train)
    seconds = time.perf_counter() - start
    size = clf.report_.pruned
    return {
        "inputs": size.inputs,
        "units": list(size.units.values()),
        "parameters": size.parameters,
        "MACs": size.macs,
        "accuracy": clf.score(split.X_test, split.y_test),
        "seconds": seconds,
    }


def means(runs):
    """Average runs over seeds, number by number."""
    return {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}


def main():
    """Print the table and the verdicts."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="at most so many training rows")
    args = parser.parse_args()
    print_header()

    split = load("mnist", args.data, args.rows)
    runs = {
        mode: [fit_once(split, prune, seed) for seed in range(args.seeds)]
        for mode, prune in MODES.items()
    }
    mean = {mode: means(of_mode) for mode, of_mode in runs.items()}
    dense, joint = mean["dense"], mean["joint"]
    print_table(
        [
            {
                "network": mode,
                "inputs": f"{m['inputs']:.0f}",
                "units": "-".join(f"{units:.0f}" for units in m["units"]),
                "parameters": f"{m['parameters']:,.0f}",
                "of dense": f"{m['parameters'] / dense['parameters']:.1%}",
                "MACs": f"{m['MACs']:,.0f}",
                "of dense ": f"{m['MACs'] / dense['MACs']:.1%}",
                "test accuracy": mean_and_std([run["accuracy"] for run in runs[mode]]),
                "seconds": f"{m['seconds']:.1f}",
            }
            for mode, m in mean.items()
        ]
    )
    drop = dense["accuracy"] - joint["accuracy"]
    for what, value, limit in (
        ("points of accuracy under dense", 100 * drop, 0.3),
        ("share of the inputs", joint["inputs"] / dense["inputs"], 1 / 2),
        ("share of the parameters", joint["parameters"] / dense["parameters"], 1 / 4),
    ):
        verdict = "holds" if value <= limit else "MISSED"
        print(f"joint, {what}: {value:.3f}, at most {limit}: {verdict}")


if __name__ == "__main__":
    main()
