"""Two processes of one fit, on loopback, for tests that ask both for the same."""

import multiprocessing
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from skorch.callbacks import Callback, Checkpoint, EarlyStopping
from torch import nn

from skjointprune import JointPruneClassifier

QUICK = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 8,
    "retrain_epochs": 4,
    "lr": 1e-2,
    "batch_size": 33,  # which two ranks share unequally
    "random_state": 0,
    # Adam takes steps of full size by gradients that are rounding alone, as those of
    # a bias before batch normalisation are, and so shows it; not with a larger eps.
    "optimizer__eps": 1e-3,
}

# gloo looks for an address by the name of the host, which not every host can find
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}


class Pair:
    """Two processes, each of which runs what it is given."""

    def __init__(self, folder):
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for number in range(2):
            here, there = context.Pipe()
            process = context.Process(
                target=_serve, args=(there, number, str(folder / "store")), daemon=True
            )
            process.start()
            self.pipes.append(here)
            self.processes.append(process)

    def run(self, function, *args):
        """Return what a function gives on each rank, or the error that it raises."""
        for pipe in self.pipes:
            pipe.send((function, args))
        for pipe in self.pipes:
            assert pipe.poll(60), "a rank hangs"
        return [pipe.recv() for pipe in self.pipes]

    def end(self):
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join(30)


def _serve(pipe, number, store):
    os.environ.update(LOOPBACK)
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=number, world_size=2
    )
    while (task := pipe.recv()) is not None:
        function, args = task
        try:
            result = function(*args)
        except (Exception, KeyboardInterrupt) as error:
            result = error
        pipe.send(result)


def number_of_rank():
    """Return the number of this process, 0 where it is alone."""
    there = torch.distributed.is_initialized()
    return torch.distributed.get_rank() if there else 0


def fit(kind, data, params):
    """Fit, and return all that shows what came out."""
    estimator = kind(**(QUICK | params)).fit(*data)
    history = estimator.history_
    return {
        "support": estimator.support_,
        "sizes": (estimator.report_.dense, estimator.report_.pruned),
        "parameters": [
            value.cpu().numpy() for value in estimator.module_.state_dict().values()
        ],
        "losses": np.array(history[:, ("train_loss", "valid_loss")]),
        "importances": estimator.feature_importances_,
        "predictions": estimator.predict(data[0]),
    }


class Fails(Callback):
    """Raise on one rank, in the third epoch of a phase."""

    def __init__(self, rank=1, phase=1, kind=ValueError):
        self.rank, self.phase, self.kind = rank, phase, kind
        self.begun = 0

    def on_train_begin(self, net, **kwargs):
        self.begun += 1

    def on_batch_end(self, net, training=False, **kwargs):
        there = torch.distributed.is_initialized() and number_of_rank() == self.rank
        if there and self.begun == self.phase and len(net.history) == 3:
            raise self.kind("this rank has had enough")


class DrawsByItself(nn.Module):
    """Draw as many numbers as rows, by no function that knows of these."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.first, self.last = nn.Linear(n_features_in, 8), nn.Linear(8, n_outputs)

    def forward(self, X):
        X = self.first(X).relu()
        if self.training:
            X = X * torch.empty(len(X), 1).uniform_(0.5, 1.5)
        return self.last(X)


class Notes(Callback):
    """Keep how many rows the network is given in the steps of the last phase."""

    def on_train_begin(self, net, **kwargs):
        self.rows_ = []

    def on_epoch_begin(self, net, **kwargs):
        self.hook_ = net.module_.register_forward_pre_hook(self._note)

    def on_epoch_end(self, net, **kwargs):
        self.hook_.remove()

    def _note(self, module, args):
        if module.training:
            self.rows_.append(len(args[0]))


def rows_of_steps(data, params):
    """Return how many rows the network of this rank was given in each step."""
    notes = Notes()
    JointPruneClassifier(**(QUICK | params), callbacks=[notes]).fit(*data)
    return notes.rows_


def fit_till_no_better(data, params):
    """Fit until the loss on held-out rows is no better."""
    stop = EarlyStopping(patience=2, threshold=0.2)
    return fit(JointPruneClassifier, data, params | {"callbacks": [stop]})


def fit_own_rows(data, params):
    """Fit on half of the rows, another half on each rank."""
    X, y = data
    half = slice(number_of_rank(), None, 2)
    return fit(JointPruneClassifier, (X[half], y[half]), params)


def fit_in_a_thread(data, params, number):
    """Fit on one rank only, in a thread."""
    if number_of_rank() != number:
        return None
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(fit, JointPruneClassifier, data, params).result()


def fit_and_write(data, params, folder):
    """Fit with the weights of the best epoch, which are in a file of a rank."""
    best = Checkpoint(dirname=f"{folder}/of_rank_{number_of_rank()}", load_best=True)
    return fit(JointPruneClassifier, data, params | {"callbacks": [best]})
