"""Images of a few pixels, as arrays and as datasets, and a network for them."""

import torch
from torch import nn
from torch.utils.data import Dataset

from skjointprune import JointPruneClassifier


class SmallConvNet(nn.Module):
    def __init__(self, input_shape, n_outputs, pool=1, padding=1):
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 8, 3, padding=padding, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=padding)
        self.pool = nn.AdaptiveAvgPool2d(pool)
        self.head = nn.Linear(8 * pool * pool, n_outputs)

    def forward(self, X):
        X = self.norm1(self.conv1(X)).relu()
        return self.head(self.pool(self.conv2(X).relu()).flatten(1))


class Labelled(Dataset):
    """Pairs of an image and its label."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        return self.pairs[i]


class Pictures(Dataset):
    def __init__(self, X, y=None):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        image = torch.from_numpy(self.X[i].copy())
        return image if self.y is None else (image, self.y[i])


QUICK = {
    "module": SmallConvNet,
    "max_epochs": 25,
    "retrain_epochs": 6,
    "lr": 5e-3,
    "batch_size": 32,
    "random_state": 0,
}


def make(**params):
    return JointPruneClassifier(**(QUICK | {"alpha": 0.4} | params))
