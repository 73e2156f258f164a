"""LeNet-300-100 on MNIST: our row beside published ones.

Joint pruning of inputs and units; the final network, mean and spread over seeds. The
parameters are all trainable numbers of `module_`, those of batch normalisation among
them; FLOPs are 2 x MACs.

    python lenet_300_100.py --data FOLDER
"""

import time

import numpy as np
from _common import make_parser, mean_and_std, print_header, print_table
from _data import add_data_option, load

from skjointprune import JointPruneClassifier

SETTING = {
    "hidden_layer_sizes": (300, 100),
    "module__dropout": 0.3,
    "optimizer": "adamw",
    "optimizer__weight_decay": 0.1,
    "max_epochs": 120,
    "retrain_epochs": 60,
    "distillation": 0.9,
    "validation_fraction": None,
}
# Kept architecture, parameters, FLOPs and error in percent (RigL, arXiv 1911.11134,
# appendix, table 2; dense: "Sparse-structure ensembles", table 1).
PUBLISHED = [
    ("dense", "784-300-100", "266,610", "532K", "1.66"),
    ("SBP", "245-160-55", "48,775", "97.1K", "1.6"),
    ("L0", "266-88-33", "26,773", "53.3K", "1.6"),
    ("VIB", "97-71-33", "9,674", "19.1K", "1.6"),
]


def main():
    """Print a row for each strength, under the published ones."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.026, 0.03, 0.042])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    print_header()
    print(f"setting of ours: {SETTING}")
    split = load("mnist", args.data)
    names = ("network", "kept", "parameters", "FLOPs", "error, %", "s")
    rows = [dict(zip(names, (*row, ""), strict=True)) for row in PUBLISHED]
    for alpha in args.alphas:
        sizes, errors, seconds = [], [], []
        for seed in range(args.seeds):
            start = time.perf_counter()
            clf = JointPruneClassifier(**SETTING, alpha=alpha, random_state=seed)
            clf.fit(split.X_train, split.y_train)
            seconds.append(time.perf_counter() - start)
            sizes.append(clf.report_.pruned)
            errors.append(100 * (1 - clf.score(split.X_test, split.y_test)))
            print(f"alpha {alpha}, seed {seed}: {sizes[-1]}, {errors[-1]:.2f} %")
        kept = [[size.inputs, *size.units.values()] for size in sizes]
        mean = np.mean(kept, axis=0).round().astype(int)
        row = (
            f"ours, alpha {alpha}",
            "-".join(map(str, mean)),
            f"{np.mean([size.parameters for size in sizes]):,.0f}",
            f"{np.mean([size.flops for size in sizes]) / 1000:.1f}K",
            mean_and_std(errors, 2),
            f"{np.mean(seconds):.0f}",
        )
        rows.append(dict(zip(names, row, strict=True)))
        print_table(rows)


if __name__ == "__main__":
    main()
