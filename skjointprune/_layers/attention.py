"""Multi-head attention that can lose heads.

`torch.nn.MultiheadAttention` ties the number of heads to the width of its input. This
one has the same parameters in other shapes, and gives the same outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MultiheadAttention(nn.Module):
    """Attention of any number of heads between given widths.

    Vaswani et al., "Attention is all you need", arXiv 1706.03762. Made from a
    `torch.nn.MultiheadAttention` by `of`, and called in the same way.

    Parameters
    ----------
    embed_dim : int
        Width of queries and outputs.
    num_heads, head_dim : int
        Number of heads, and numbers in each.
    kdim, vdim : int
        Widths of keys and of values.
    dropout : float
        Probability that a weight of attention is dropped in training.
    bias, batch_first : bool
        As in torch.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        head_dim: int,
        kdim: int,
        vdim: int,
        dropout: float,
        bias: bool,
        batch_first: bool,
    ):
        super().__init__()
        self.head_dim, self.dropout, self.batch_first = head_dim, dropout, batch_first
        width = num_heads * head_dim
        self.query = nn.Linear(embed_dim, width, bias)
        self.key = nn.Linear(kdim, width, bias)
        self.value = nn.Linear(vdim, width, bias)
        self.out_proj = nn.Linear(width, embed_dim, bias)

    @property
    def num_heads(self) -> int:
        """Number of heads that are left."""
        return self.query.out_features // self.head_dim

    @classmethod
    def of(cls, given: nn.MultiheadAttention) -> "MultiheadAttention":
        """Return the same attention, with copies of the weights."""
        new = cls(
            given.embed_dim,
            given.num_heads,
            given.head_dim,
            given.kdim or given.embed_dim,
            given.vdim or given.embed_dim,
            given.dropout,
            given.in_proj_bias is not None,
            given.batch_first,
        )
        if given.in_proj_weight is not None:
            weights = given.in_proj_weight.chunk(3)
        else:
            weights = (given.q_proj_weight, given.k_proj_weight, given.v_proj_weight)
        with torch.no_grad():
            layers = (new.query, new.key, new.value)
            for layer, weight in zip(layers, weights, strict=True):
                layer.weight.copy_(weight)
                layer.weight.requires_grad_(weight.requires_grad)
            if given.in_proj_bias is not None:
                biases = given.in_proj_bias.chunk(3)
                for layer, bias in zip(layers, biases, strict=True):
                    layer.bias.copy_(bias)
                    layer.bias.requires_grad_(given.in_proj_bias.requires_grad)
        new.out_proj.weight = given.out_proj.weight
        new.out_proj.bias = given.out_proj.bias
        return new.to(given.out_proj.weight).train(given.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return outputs, and the weights of attention if they are needed."""
        if is_causal and attn_mask is None:
            raise ValueError(
                "`is_causal`=True is a hint on `attn_mask`, which is None. Give one."
            )
        if not self.batch_first:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        q, k, v = (
            layer(t).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for layer, t in ((self.query, query), (self.key, key), (self.value, value))
        )  # (batch, heads, positions, head_dim)
        mask = self._mask(attn_mask, key_padding_mask, q)
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.transpose(-2, -1) / self.head_dim**0.5
            weights = (scores if mask is None else scores + mask).softmax(-1)
            heads = F.dropout(weights, p) @ v
            if average_attn_weights:
                weights = weights.mean(dim=1)
        else:
            heads = F.scaled_dot_product_attention(q, k, v, mask, p)
        out = self.out_proj(heads.transpose(1, 2).flatten(2))
        return (out if self.batch_first else out.transpose(0, 1)), weights

    def _mask(
        self, attn: Tensor | None, padding: Tensor | None, q: Tensor
    ) -> Tensor | None:
        """Return what is added to scores, (batch, heads, positions, positions)."""
        total = None
        if attn is not None:
            added = _added(attn, q)
            total = added if added.ndim == 2 else added.unflatten(0, (len(q), -1))
            if total.ndim == 4 and total.shape[1] != q.shape[1]:
                raise ValueError(
                    f"`attn_mask` has {total.shape[1]} heads, and {q.shape[1]} are "
                    "left. Give one mask for all heads."
                )
        if padding is not None:
            added = _added(padding, q)[:, None, None]
            total = added if total is None else total + added
        return total


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask, where True is to be left out, as what is added to scores."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, float("-inf"))
