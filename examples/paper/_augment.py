"""Random crops, mirroring and cutout of a whole batch, each image on its own."""

from dataclasses import dataclass

import torch
from torch.nn.functional import pad


@dataclass(frozen=True)
class CropAndFlip:
    """Shift each image by up to ``shift`` pixels, and mirror half of them.

    As torchvision's RandomCrop with padding and RandomHorizontalFlip do of one image;
    given a batch, these would move all alike. ``mode`` is what lies around an image:
    "constant" is zeros, "reflect" its pixels mirrored at the border.

    Each image loses a square of ``cutout`` pixels a side, of which some may lie outside
    (DeVries, Taylor, "Improved regularization of convolutional neural networks with
    cutout", arXiv 1708.04552). There are the means of the batch's channels then, which
    standardising makes about 0.
    """

    shift: int
    mode: str = "constant"
    cutout: int = 0

    def __call__(self, X):
        """Return other images, (n, channels, height, width), on the device of X."""
        n, _, height, width = X.shape
        on = {"device": X.device}
        windows = self._padded(X).unfold(2, height, 1).unfold(3, width, 1)
        down, right = torch.randint(2 * self.shift + 1, (2, n), **on)
        X = windows[torch.arange(n, **on), :, down, right]
        mirrored = torch.rand(n, 1, 1, 1, **on) < 0.5
        X = torch.where(mirrored, X.flip(3), X)
        return self._cut_out(X) if self.cutout else X

    def _padded(self, X):
        if self.mode == "constant":
            return pad(X, [self.shift] * 4)
        # of bytes too, of which torch reflects none
        for dim in (2, 3):
            last = X.shape[dim] - 1
            at = torch.arange(-self.shift, last + 1 + self.shift, device=X.device)
            X = X.index_select(dim, last - (last - at.abs()).abs())
        return X

    def _cut_out(self, X):
        rows, columns = (
            self._among_cut(len(X), size, X.device) for size in X.shape[2:]
        )
        means = X.mean((0, 2, 3), keepdim=True, dtype=torch.float32).to(X.dtype)
        return torch.where(rows[:, None, :, None] & columns[:, None, None], means, X)

    def _among_cut(self, n, size, device):
        """Return which of so many rows, or columns, each image loses, (n, size)."""
        first = torch.randint(size, (n, 1), device=device) - self.cutout // 2
        at = torch.arange(size, device=device)
        return (at >= first) & (at < first + self.cutout)
