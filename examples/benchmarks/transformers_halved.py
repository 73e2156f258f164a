"""Two small transformers, dense and pruned to half of their MACs, side by side.

timm's vision transformer reads images of MNIST; transformers' BERT reads the words of
documents (BASEHOCK), those of a document by descending weight. Both are trained from
scratch: dense; with units pruned until half of the MACs are left; and dense with
layers so narrow that they have half of the MACs from the beginning. All make the same
number of steps. `alpha` is searched for on training rows, with the first seed.
A latency is the median of runs in which the networks take turns, on one batch; in
milliseconds of processor time, of one thread.

    OMP_NUM_THREADS=1 python transformers_halved.py --data FOLDER

It needs timm and transformers, as `pip install "skjointprune[networks]"` brings them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from _common import make_parser, mean_and_std, print_header, print_table
from _data import Split, add_data_option, load
from torch import nn

from skjointprune import JointPruneClassifier

HEADS = 4
LENGTH = 32  # words of a document
BATCHES = (1, 64)
TOLERANCE = 0.03  # of the share of the MACs, in the search for `alpha`
MOST_TRIALS = 6


class Bert(nn.Module):
    """A BERT encoder with random weights, and the logits that transformers makes."""

    def __init__(self, n_words, width, n_layers, n_outputs):
        super().__init__()
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(
            vocab_size=n_words,
            hidden_size=width,
            num_hidden_layers=n_layers,
            num_attention_heads=HEADS,
            intermediate_size=4 * width,
            max_position_embeddings=LENGTH,
            num_labels=n_outputs,
        )
        self.model = BertForSequenceClassification(config)

    def forward(self, x):
        """Return the logits of rows of words, which 0 fills up."""
        words = x.long()
        return self.model(words, attention_mask=words > 0).logits


def make_bert(split, width, n_layers):
    """Return what makes a BERT encoder for the words of a split."""
    n_words = int(max(split.X_train.max(), split.X_test.max())) + 1
    return lambda n_outputs: Bert(n_words, width, n_layers, n_outputs)


def make_vit(split, width, n_layers):
    """Return what makes a vision transformer: each image is cut into 16 patches."""
    from timm.models.vision_transformer import VisionTransformer

    size = split.X_train.shape[-1]
    return lambda n_outputs: VisionTransformer(
        img_size=size,
        patch_size=size // 4,
        in_chans=1,
        num_classes=n_outputs,
        embed_dim=width,
        depth=n_layers,
        num_heads=HEADS,
    )


def as_words(split):
    """Return the split with the words of each document, as numbers, for its columns.

    They count from 1, the heaviest first; 0 is no word. A weight is how often the word
    is in the document, times the logarithm of how few training documents have it.
    """
    present = (split.X_train > 0).sum(axis=0)
    rarity = np.log((1 + len(split.X_train)) / (1 + present))

    def words(X):
        weight = np.log1p(X) * rarity
        order = np.argsort(-weight, axis=1, kind="stable")[:, :LENGTH]
        there = np.take_along_axis(weight, order, axis=1) > 0
        return np.where(there, order + 1, 0).astype(np.float32)

    return split._replace(X_train=words(split.X_train), X_test=words(split.X_test))


def as_images(split):
    """Return the split with square images of one channel for its rows of pixels."""
    side = round(split.n_features**0.5)

    def images(X):
        return X.reshape(-1, 1, side, side).astype(np.uint8)

    return split._replace(X_train=images(split.X_train), X_test=images(split.X_test))


@dataclass(frozen=True)
class Task:
    """A network and its data; with the width `narrow` it has half of the MACs."""

    data: str
    prepare: Callable[[Split], Split]
    make: Callable[[Split, int, int], Callable]
    layers: int
    settings: dict[str, Any]
    first_alpha: float  # to try
    rows: int | None = None  # to train on, None for all
    width: int = 64
    narrow: int = 44


# What all fits share: no rows are held out, as nothing is chosen within a fit.
COMMON = {
    "unit_cost": "macs",
    "optimizer": "adamw",
    "optimizer__weight_decay": 0.05,
    "lr": 1e-3,
    "batch_size": 64,
    "validation_fraction": None,
    "device": "cpu",
}
VIT = {"pretrain_epochs": 2, "max_epochs": 3, "retrain_epochs": 3}
BERT = {"pretrain_epochs": 3, "max_epochs": 6, "retrain_epochs": 6}
BERT |= {"standardize": False}
TASKS = {
    "ViT": Task("mnist", as_images, make_vit, 3, COMMON | VIT, 0.016, rows=10_000),
    "BERT": Task("BASEHOCK", as_words, make_bert, 2, COMMON | BERT, 0.00065),
}
QUICK = {"pretrain_epochs": 0, "max_epochs": 1, "retrain_epochs": 1}


class Run(NamedTuple):
    """A final network, and what is said of it."""

    module: nn.Module
    accuracy: float
    macs: int
    parameters: int
    seconds: float


def fit_once(task, split, seed, width, **settings):
    """Fit one network; return it with its accuracy on test rows."""
    clf = JointPruneClassifier(
        module=task.make(split, width, task.layers),
        random_state=seed,
        **task.settings | settings,
    )
    start = time.process_time()
    clf.fit(split.X_train, split.y_train)
    seconds = time.process_time() - start
    size = clf.report_.pruned
    return Run(
        clf.module_.eval(),
        clf.score(split.X_test, split.y_test),
        size.macs,
        size.parameters,
        seconds,
    )


def find_alpha(task, split, n_trials):
    """Return the `alpha` at which half of the MACs are left after sparsifying.

    Or what came closest. The search is between one that leaves more and one that
    leaves less, as soon as both are known.
    """
    alpha, tried = task.first_alpha, {}
    for _ in range(n_trials):
        clf = JointPruneClassifier(
            module=task.make(split, task.width, task.layers),
            alpha=alpha,
            prune="weights",
            random_state=0,
            **task.settings | {"retrain_epochs": 0},
        )
        share = clf.fit(split.X_train, split.y_train).report_.macs_ratio
        print(f"alpha {alpha:.5f}: {share:.1%} of the MACs", flush=True)
        tried[alpha] = share
        if abs(share - 0.5) <= TOLERANCE:
            break
        more = max((a for a, share in tried.items() if share > 0.5), default=None)
        less = min((a for a, share in tried.items() if share <= 0.5), default=None)
        if more is None or less is None:
            alpha *= 2 if less is None else 0.5
        else:
            at = (tried[more] - 0.5) / (tried[more] - tried[less])
            alpha = more ** (1 - at) * less**at
    return min(tried, key=lambda alpha: abs(tried[alpha] - 0.5))


def latencies(modules, X, repeats):
    """Return the median milliseconds that each module takes, (modules,).

    Of processor time, so that other processes count less. They take turns, each with
    one run before that is not timed.
    """
    times = np.empty((repeats, len(modules)))
    with torch.inference_mode():
        for of_turn in times:
            for i, module in enumerate(modules):
                module(X)
                start = time.process_time()
                module(X)
                of_turn[i] = 1000 * (time.process_time() - start)
    return np.median(times, axis=0)


def main():
    """Print a table for each of the two networks."""
    parser = make_parser(__doc__)
    add_data_option(parser)
    parser.add_argument("--only", choices=TASKS, nargs="+", default=[*TASKS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=100, help="of a latency")
    parser.add_argument("--alpha", type=float, help="in place of the search")
    parser.add_argument("--quick", action="store_true", help="does it run?")
    args = parser.parse_args()
    print_header()
    for name in args.only:
        compare(name, TASKS[name], args)


def compare(name, task, args):
    """Print the table of one network, after each seed."""
    rows, repeats = task.rows, args.repeats
    if args.quick:
        rows, repeats = 64, 2
        task = Task(**vars(task) | {"settings": task.settings | QUICK, "layers": 1})
    split = task.prepare(load(task.data, args.data, rows))
    print(f"\n## {name}, {len(split.X_train)} rows of {task.data} to train on\n")
    alpha = args.alpha or find_alpha(task, split, 1 if args.quick else MOST_TRIALS)
    asked = {
        "dense": {"width": task.width, "prune": "none"},
        "pruned": {"width": task.width, "prune": "weights", "alpha": alpha},
        "narrow": {"width": task.narrow, "prune": "none"},
    }
    runs = {kind: [] for kind in asked}
    X = torch.from_numpy(split.X_test[: max(BATCHES)]).float()
    ms = {n: [] for n in BATCHES}  # of each seed, (seeds, networks)
    for seed in range(args.seeds):
        for kind, settings in asked.items():
            runs[kind].append(fit_once(task, split, seed, **settings))
            print(f"{kind}, seed {seed}: {runs[kind][-1][1:]}", flush=True)
        modules = [of_kind[-1].module for of_kind in runs.values()]
        for n in BATCHES:
            ms[n].append(latencies(modules, X[:n], repeats))
        print_table(rows_of(runs, ms))


def rows_of(runs, ms):
    """Return a row for each kind of network, means over the seeds so far."""
    dense = np.mean([run.macs for run in runs["dense"]])
    rows = []
    for i, (kind, of_kind) in enumerate(runs.items()):
        _, accuracies, macs, parameters, seconds = zip(*of_kind, strict=True)
        row = {
            "network": kind,
            "accuracy": mean_and_std(accuracies),
            "MACs": f"{np.mean(macs):,.0f}",
            "of dense": f"{np.mean(macs) / dense:.1%}",
            "parameters": f"{np.mean(parameters):,.0f}",
        }
        row |= {f"ms, batch of {n}": f"{np.mean(ms[n], axis=0)[i]:.2f}" for n in ms}
        rows.append(row | {"seconds of a fit": f"{np.mean(seconds):.0f}"})
    return rows


if __name__ == "__main__":
    main()
