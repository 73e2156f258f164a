"""Networks to prune: an MLP for tables, VGG16 and ResNet18 for images.

In go the sizes of the data (`n_features_in`, `n_outputs`, `input_shape`); out comes a
plain `torch.nn.Module` that returns one logit a class, or one number a target.
"""

from ._embeddings import (
    InputScale,
    PeriodicEmbedding,
    PiecewiseEmbedding,
    SmoothClip,
)
from ._images import resnet18, vgg16
from ._mlp import MLP

__all__ = [
    "MLP",
    "InputScale",
    "PeriodicEmbedding",
    "PiecewiseEmbedding",
    "SmoothClip",
    "resnet18",
    "vgg16",
]
