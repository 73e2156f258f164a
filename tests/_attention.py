"""Attention as people write it, in a small transformer of images."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Weights of attention with four heads; subclasses say how it is computed."""

    heads = 4

    def __init__(self, width=16):
        super().__init__()
        self.width, self.head_dim = width, width // self.heads
        self.scale = self.head_dim**-0.5
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, t, c = x.shape
        return self.proj(self.attend(x, n, t, c))


class OneReshape(Attention):
    """As timm has it."""

    def attend(self, x, n, t, c):
        qkv = self.qkv(x).reshape(n, t, 3, self.heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)


class Turned(Attention):
    """With queries and keys that are turned by angles of a buffer (RoPE)."""

    def __init__(self, width=16):
        super().__init__(width)
        self.register_buffer("speeds", 0.5 ** torch.arange(self.head_dim // 2))

    def turn(self, x, angles):
        a, b = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
        return x * angles.cos() + torch.cat([-b, a], -1) * angles.sin()

    def attend(self, x, n, t, c):
        places = torch.arange(t, device=x.device)[:, None].float()
        angles = torch.cat([places * self.speeds.to(x)] * 2, -1)
        qkv = self.qkv(x).reshape(n, t, 3, self.heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.turn(q, angles), self.turn(k, angles)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)


class ZeroBias(Attention):
    """As in BEiT: the bias of keys is a buffer of zeros."""

    def __init__(self, width=16):
        super().__init__(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias, self.v_bias = (nn.Parameter(torch.rand(width)) for _ in range(2))
        self.register_buffer("k_bias", torch.zeros(width))

    def attend(self, x, n, t, c):
        bias = torch.cat((self.q_bias, self.k_bias, self.v_bias))
        qkv = F.linear(x, self.qkv.weight, bias).reshape(n, t, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, -1)


class RowsByHeads(Attention):
    """As in SAM: heads of all rows are one dimension, behind that of `qkv`."""

    def attend(self, x, n, t, c):
        qkv = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.reshape(3, n * self.heads, t, -1).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v)
        return out.view(n, self.heads, t, -1).transpose(1, 2).reshape(n, t, -1)


class ComputedWidth(Attention):
    """As tutorials of language models have it, with a mask that is a buffer."""

    def __init__(self, width=16):
        super().__init__(width)
        self.register_buffer("mask", torch.ones(32, 32).tril()[None, None])

    def attend(self, x, n, t, c):
        q, k, v = (
            part.view(n, t, self.heads, c // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(self.width, dim=2)
        )
        scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
        out = scores.softmax(-1) @ v
        return out.transpose(1, 2).contiguous().view(n, t, c)


class FoundByTorch(Attention):
    """As encoders of language have it: the number of heads is -1."""

    def attend(self, x, n, t, c):
        q, k, v = (
            part.view(*x.shape[:-1], -1, self.head_dim).transpose(1, 2)
            for part in self.qkv(x).chunk(3, -1)
        )
        out = torch.matmul((torch.matmul(q, k.mT) * self.scale).softmax(-1), v)
        return out.transpose(1, 2).reshape(*x.shape[:-1], -1)


class HeadsThenFound(Attention):
    """The width of a head is -1."""

    def attend(self, x, n, t, c):
        q, k, v = (
            part.view(n, t, self.heads, -1).permute(0, 2, 1, 3)
            for part in self.qkv(x).chunk(3, -1)
        )
        out = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return out.transpose(1, 2).flatten(2)


class Einsum(Attention):
    """Products are einsums."""

    def attend(self, x, n, t, c):
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, c // self.heads).unbind(2)
        scores = torch.einsum("bnhd,bmhd->bhnm", q, k) * self.scale
        return torch.einsum("bhnm,bmhd->bnhd", scores.softmax(-1), v).reshape(n, t, c)


class OverChannels(Attention):
    """Cross-covariance attention, with a temperature for each head."""

    def __init__(self, width=16):
        super().__init__(width)
        self.temperature = nn.Parameter(torch.ones(self.heads, 1, 1))

    def attend(self, x, n, t, c):
        qkv = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 4, 1).unbind(0)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        scores = (q @ k.transpose(-2, -1)) * self.temperature
        return (scores.softmax(-1) @ v).permute(0, 3, 1, 2).reshape(n, t, c)


class TalkingHeads(Attention):
    """Layers mix the heads before and after the softmax."""

    def __init__(self, width=16):
        super().__init__(width)
        self.before, self.after = (nn.Linear(self.heads, self.heads) for _ in "ab")

    def attend(self, x, n, t, c):
        qkv = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads)
        qkv = qkv.permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0] * self.scale, qkv[1], qkv[2]
        scores = (q @ k.transpose(-2, -1)).permute(0, 2, 3, 1)
        weights = self.after(self.before(scores).softmax(2)).permute(0, 3, 1, 2)
        return (weights @ v).transpose(1, 2).reshape(n, t, c)


class Linear(Attention):
    """Attention without a product of all positions."""

    def attend(self, x, n, t, c):
        q, k, v = (
            part.reshape(n, t, self.heads, -1).transpose(1, 2)
            for part in self.qkv(x).chunk(3, -1)
        )
        out = q.softmax(-1) @ (k.softmax(-2).transpose(-1, -2) @ v)
        return out.transpose(1, 2).reshape(n, t, c)


class RelativePositions(Attention):
    """A bias for each head is looked up by the distance of positions."""

    def __init__(self, width=16):
        super().__init__(width)
        self.table = nn.Parameter(torch.randn(40, self.heads))
        self.register_buffer("index", torch.arange(17 * 17).view(17, 17) % 40)

    def attend(self, x, n, t, c):
        qkv = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index.view(-1)].view(t, t, -1).permute(2, 0, 1)[None]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return out.transpose(1, 2).reshape(n, t, c)


class OneHead(Attention):
    """Queries, keys and values are read as they come."""

    heads = 1

    def __init__(self, width=16):
        super().__init__(width)
        del self.qkv
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in "qkv")

    def attend(self, x, n, t, c):
        return (self.q(x) @ self.k(x).mT * self.scale).softmax(-1) @ self.v(x)


KINDS = {kind.__name__: kind for kind in Attention.__subclasses__()}


class Transformer(nn.Module):
    """A transformer of one block, for images of 16 x 16 pixels."""

    def __init__(self, attention=OneReshape, width=16, n_outputs=3):
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.zeros(1, 17, width))
        self.norm1, self.attn = nn.LayerNorm(width), attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))
        self.head = nn.Linear(width, n_outputs)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1) + self.places
        x = x + self.attn(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return self.head(x[:, 0])
