"""Random crops and mirroring of a whole batch, each image on its own."""

from dataclasses import dataclass

import torch
from torch.nn.functional import pad


@dataclass(frozen=True)
class CropAndFlip:
    """Shift each image by up to ``shift`` pixels, and mirror half of them.

    As torchvision's RandomCrop with padding and RandomHorizontalFlip do of one image;
    given a batch, these would move all alike.
    """

    shift: int

    def __call__(self, X):
        """Return other images, (n, channels, height, width), on the device of X."""
        n, _, height, width = X.shape
        on = {"device": X.device}
        windows = pad(X, [self.shift] * 4).unfold(2, height, 1).unfold(3, width, 1)
        down, right = torch.randint(2 * self.shift + 1, (2, n), **on)
        X = windows[torch.arange(n, **on), :, down, right]
        mirrored = torch.rand(n, 1, 1, 1, **on) < 0.5
        return torch.where(mirrored, X.flip(3), X)
