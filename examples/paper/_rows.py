"""The rows of the table and their settings, for each budget: tune them here.

``settings`` are parameters of `JointPruneClassifier`, the same for the three networks
of a row but for ``prune``. All networks of a row make as many steps, as nothing ends
training early.
"""

from dataclasses import dataclass, field
from typing import Any

from _augment import CropAndFlip

from skjointprune import ImageInput


@dataclass(frozen=True)
class Row:
    """A network and its data; ``train_rows`` and ``test_rows`` None are all images.

    ``unpruned`` are settings of the networks that lose nothing, where these are others.
    Images are smaller by a factor ``shrink``.
    """

    network: str
    data: str
    settings: dict[str, Any]
    train_rows: int | None = None
    test_rows: int | None = None
    unpruned: dict[str, Any] = field(default_factory=dict)
    shrink: int = 1

    @property
    def flat(self):
        """Whether the network takes rows of numbers."""
        return self.network == "MLP"


@dataclass(frozen=True)
class Budget:
    """Rows by name, over how many seeds, and how often a latency is measured."""

    rows: dict[str, Row]
    seeds: int
    repeats: int
    prune: list[str] = field(default_factory=lambda: ["none", "weights", "joint"])


def crop_and_flip(size):
    """Shift by up to an eighth of the size, and mirror half of the images."""
    return {
        "images": ImageInput(transform=CropAndFlip(size // 8), transform_batches=True)
    }


# No rows are held out: nothing is chosen within a fit.
COMMON = {"validation_fraction": None}

# ---- smoke: does every row run? Its figures say nothing else. ----------------------

SMOKE_MLP = COMMON | {
    "hidden_layer_sizes": (32, 16),
    "alpha": 0.045,
    "max_epochs": 10,
    "retrain_epochs": 10,
    "lr": 3e-3,
    "batch_size": 64,
}
SMOKE_CONVNET = COMMON | {
    "module__width": 0.125,
    "max_epochs": 5,
    "retrain_epochs": 5,
    "lr": 3e-3,
    "batch_size": 32,
}
SMOKE_VGG16 = SMOKE_CONVNET | {
    "module": "vgg16",
    "alpha": 0.03,
    **crop_and_flip(32),
}
SMOKE_RESNET18 = SMOKE_CONVNET | {
    "module": "resnet18",
    "alpha": 0.015,
    **crop_and_flip(128),
}

SMOKE = Budget(
    {
        "mlp_mnist": Row("MLP", "MNIST", SMOKE_MLP, 2000, 1000),
        "mlp_cifar10": Row("MLP", "CIFAR-10", SMOKE_MLP, 2000, 1000),
        "mlp_cifar100": Row("MLP", "CIFAR-100", SMOKE_MLP, 2000, 1000),
        "vgg16_cifar10": Row("VGG16", "CIFAR-10", SMOKE_VGG16, 600, 500),
        "vgg16_cifar100": Row("VGG16", "CIFAR-100", SMOKE_VGG16, 600, 500),
        "resnet18_caltech101": Row("ResNet18", "Caltech-101", SMOKE_RESNET18, 303, 202),
    },
    seeds=1,
    repeats=5,
)

# ---- two_cores: a quarter of the width, equal steps, without a GPU -----------------

TWO_CORES_CONVNET = COMMON | {
    "module__width": 0.25,
    "lr": 0.05,  # cycles, as those of dense and scratch, peak at twice that
    "optimizer": "sgd",
    "optimizer__momentum": 0.9,
    "optimizer__nesterov": True,
    "optimizer__weight_decay": 5e-4,
    "amp": True,
}
TWO_CORES_VGG16 = TWO_CORES_CONVNET | {
    "module": "vgg16",
    "alpha": 0.065,
    "max_epochs": 13,
    "retrain_epochs": 27,
    "batch_size": 128,
    **crop_and_flip(32),
}
TWO_CORES_RESNET18 = TWO_CORES_CONVNET | {
    "module": "resnet18",
    "alpha": 0.06,
    "unit_cost": "macs",
    "max_epochs": 20,
    "retrain_epochs": 40,
    "batch_size": 64,
    **crop_and_flip(64),
}

TWO_CORES = Budget(
    {
        "vgg16_cifar10": Row(
            "VGG16",
            "CIFAR-10",
            TWO_CORES_VGG16,
            10_000,
            unpruned={"max_epochs": 1, "retrain_epochs": 39},
        ),
        "resnet18_caltech101": Row(
            "ResNet18",
            "Caltech-101",
            TWO_CORES_RESNET18,
            unpruned={"max_epochs": 1, "retrain_epochs": 59},
            shrink=2,
        ),
    },
    seeds=3,
    repeats=20,
    prune=["none", "weights", "joint", "scratch"],
)

# ---- full: the paper's networks and data, on a GPU. Sizes chose `alpha`. ----------

FULL_MLP = COMMON | {
    "hidden_layer_sizes": (512, 256),
    "alpha": 0.02,
    "distillation": 0.9,
    "max_epochs": 34,
    "retrain_epochs": 33,  # and 33 of the teacher
    "lr": 1e-3,
    "batch_size": 128,
    "optimizer": "adamw",
    "optimizer__weight_decay": 0.1,
    "module__dropout": 0.4,
}
FULL_CONVNET = COMMON | {
    "distillation": 0.9,
    "lr": 0.05,  # pretraining and retraining peak at twice that
    "optimizer": "sgd",
    "optimizer__momentum": 0.9,
    "optimizer__nesterov": True,
    "optimizer__weight_decay": 5e-4,
    "amp": True,
    "round_units_to": 8,  # numbers of channels that a GPU is fast with
}
FULL_VGG16 = FULL_CONVNET | {
    "module": "vgg16",
    "alpha": 0.047,
    "pretrain_epochs": 50,
    "max_epochs": 35,
    "retrain_epochs": 50,
    "batch_size": 256,
    **crop_and_flip(32),
}
FULL_RESNET18 = FULL_CONVNET | {
    "module": "resnet18",
    "alpha": 0.022,
    "unit_cost": "macs",
    "pretrain_epochs": 100,
    "max_epochs": 40,
    "retrain_epochs": 100,
    "batch_size": 64,
    **crop_and_flip(128),
}

FULL = Budget(
    {
        "mlp_mnist": Row("MLP", "MNIST", FULL_MLP),
        "mlp_cifar10": Row("MLP", "CIFAR-10", FULL_MLP),
        "mlp_cifar100": Row("MLP", "CIFAR-100", FULL_MLP),
        "vgg16_cifar10": Row("VGG16", "CIFAR-10", FULL_VGG16),
        "vgg16_cifar100": Row("VGG16", "CIFAR-100", FULL_VGG16),
        "resnet18_caltech101": Row("ResNet18", "Caltech-101", FULL_RESNET18),
    },
    seeds=3,
    repeats=20,
)

BUDGETS = {"smoke": SMOKE, "two_cores": TWO_CORES, "full": FULL}
