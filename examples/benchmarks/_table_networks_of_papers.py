"""Networks for tables of papers, as people write them: trees, splines, interactions."""

import torch
import torch.nn.functional as F
from _network_list import N_OUTPUTS, Case
from _table_networks import N_COLUMNS, WIDTH, perceptron
from torch import nn


class ObliviousTrees(nn.Module):
    """A layer of NODE: soft oblivious trees (Popov et al., 2019), softmax as choice."""

    def __init__(self, n_in, n_trees=8, depth=3, width=4):
        super().__init__()
        self.depth, self.n_trees = depth, n_trees
        self.choice = nn.Parameter(torch.rand(n_in, n_trees, depth))
        self.threshold = nn.Parameter(torch.randn(n_trees, depth))
        self.log_temperature = nn.Parameter(torch.zeros(n_trees, depth))
        self.response = nn.Parameter(torch.randn(n_trees, width, 2**depth))
        codes = torch.arange(2**depth)[None] // 2 ** torch.arange(depth)[:, None] % 2
        self.register_buffer("codes", torch.stack([codes, 1 - codes], -1).float())

    def forward(self, x):
        """Return the responses, (rows, trees * width)."""
        chosen = torch.einsum("bf,ftd->btd", x, self.choice.softmax(0))
        logits = (chosen - self.threshold) * torch.exp(-self.log_temperature)
        logits = torch.stack([-logits, logits], dim=-1)
        bins = torch.clamp(0.5 * logits + 0.5, 0, 1)
        matches = torch.einsum("btds,dcs->btdc", bins, self.codes)
        weights = torch.prod(matches, dim=-2)
        return torch.einsum("btc,twc->btw", weights, self.response).flatten(1)


class NODE(nn.Module):
    """Layers of trees that read all before; the mean of the responses."""

    def __init__(self, n_layers=2, width=N_OUTPUTS):
        super().__init__()
        self.layers = nn.ModuleList(
            ObliviousTrees(N_COLUMNS + 8 * width * i, width=width)
            for i in range(n_layers)
        )

    def forward(self, x):
        """Return the logits."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=-1)
        found = x[..., N_COLUMNS:].view(x.shape[0], -1, N_OUTPUTS)
        return found.mean(dim=1)


class SplineLinear(nn.Module):
    """A layer of efficient-kan: B-splines of each input, and a base."""

    def __init__(self, n_in, n_out, n_grid=5, order=3):
        super().__init__()
        self.in_features, self.out_features, self.order = n_in, n_out, order
        grid = torch.arange(-order, n_grid + order + 1) * (2 / n_grid) - 1
        self.register_buffer("grid", grid.expand(n_in, -1).contiguous())
        self.base_weight = nn.Parameter(torch.randn(n_out, n_in) / n_in**0.5)
        self.spline_weight = nn.Parameter(
            0.1 * torch.randn(n_out, n_in, n_grid + order)
        )
        self.spline_scaler = nn.Parameter(torch.ones(n_out, n_in))

    def b_splines(self, x):
        """Return the values of the splines, (rows, inputs, splines)."""
        x, grid = x.unsqueeze(-1), self.grid
        bases = ((x >= grid[:, :-1]) & (x < grid[:, 1:])).to(x.dtype)
        for k in range(1, self.order + 1):
            left = (x - grid[:, : -(k + 1)]) / (grid[:, k:-1] - grid[:, : -(k + 1)])
            right = (grid[:, k + 1 :] - x) / (grid[:, k + 1 :] - grid[:, 1:(-k)])
            bases = left * bases[:, :, :-1] + right * bases[:, :, 1:]
        return bases.contiguous()

    def forward(self, x):
        """Return the base and the splines, (rows, outputs)."""
        base = F.linear(F.silu(x), self.base_weight)
        weight = self.spline_weight * self.spline_scaler.unsqueeze(-1)
        spline = F.linear(
            self.b_splines(x).view(x.size(0), -1), weight.view(self.out_features, -1)
        )
        return base + spline


class RadialLinear(nn.Module):
    """A layer of fast-kan: Gaussian bumps instead of splines."""

    def __init__(self, n_in, n_out, n_grid=6):
        super().__init__()
        self.norm = nn.LayerNorm(n_in)
        self.grid = nn.Parameter(torch.linspace(-2, 2, n_grid), requires_grad=False)
        self.spline, self.base = nn.Linear(n_in * n_grid, n_out), nn.Linear(n_in, n_out)

    def forward(self, x):
        """Return the base and the bumps, (rows, outputs)."""
        bumps = torch.exp(-((self.norm(x)[..., None] - self.grid) ** 2))
        return self.spline(bumps.view(*bumps.shape[:-2], -1)) + self.base(F.silu(x))


class ChebyshevLinear(nn.Module):
    """A layer of Chebyshev polynomials of each input."""

    def __init__(self, n_in, n_out, degree=3):
        super().__init__()
        self.n_in, self.degree = n_in, degree
        self.coefficients = nn.Parameter(torch.randn(n_in, n_out, degree + 1) / n_in)
        self.register_buffer("powers", torch.arange(degree + 1).float())

    def forward(self, x):
        """Return the sums of polynomials, (rows, outputs)."""
        x = torch.tanh(x).view(-1, self.n_in, 1).expand(-1, -1, self.degree + 1)
        x = torch.cos(torch.acos(0.999 * x) * self.powers)
        return torch.einsum("bid,iod->bo", x, self.coefficients)


class CrossNetwork(nn.Module):
    """DCN v2: crosses of the columns, beside a perceptron (Wang et al., 2021)."""

    def __init__(self):
        super().__init__()
        self.cross = nn.ModuleList(nn.Linear(N_COLUMNS, N_COLUMNS) for _ in range(2))
        self.deep = nn.Sequential(nn.Linear(N_COLUMNS, WIDTH), nn.ReLU())
        self.out = nn.Linear(N_COLUMNS + WIDTH, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        crossed = x
        for layer in self.cross:
            crossed = x * layer(crossed) + crossed
        return self.out(torch.cat([crossed, self.deep(x)], dim=1))


class FactorisationMachine(nn.Module):
    """DeepFM: products of pairs of columns, beside a perceptron (Guo et al., 2017)."""

    def __init__(self, width=8):
        super().__init__()
        self.linear = nn.Linear(N_COLUMNS, N_OUTPUTS)
        self.factors = nn.Parameter(torch.randn(N_COLUMNS, width) / 4)
        self.pairs = nn.Linear(width, N_OUTPUTS)
        self.deep = perceptron(N_COLUMNS * width)

    def forward(self, x):
        """Return the logits."""
        e = x.unsqueeze(-1) * self.factors
        pairs = 0.5 * (e.sum(1).pow(2) - e.pow(2).sum(1))
        return self.linear(x) + self.pairs(pairs) + self.deep(e.flatten(1))


class AutoInt(nn.Module):
    """Attention over columns, by hand (Song et al., 2019)."""

    def __init__(self, heads=4):
        super().__init__()
        self.heads, self.head_dim = heads, WIDTH // heads
        self.embed = nn.Parameter(torch.randn(N_COLUMNS, WIDTH))
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.skip = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(N_COLUMNS * WIDTH, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        x = x.unsqueeze(-1) * self.embed
        B, N, C = x.shape
        q, k, v = (
            layer(x).reshape(B, N, self.heads, self.head_dim).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        weights = (q @ k.transpose(-2, -1) / self.head_dim**0.5).softmax(dim=-1)
        x = F.relu((weights @ v).transpose(1, 2).reshape(B, N, C) + self.skip(x))
        return self.out(x.flatten(1))


class Saint(nn.Module):
    """Attention over columns with qkv in one layer (Somepalli et al., 2021)."""

    def __init__(self, heads=4):
        super().__init__()
        self.heads = heads
        self.embed = nn.ModuleList(nn.Linear(1, WIDTH) for _ in range(N_COLUMNS))
        self.norm, self.qkv = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)
        self.out = perceptron(WIDTH)

    def forward(self, x):
        """Return the logits."""
        x = torch.stack([e(x[:, i : i + 1]) for i, e in enumerate(self.embed)], dim=1)
        B, N, C = x.shape
        qkv = self.qkv(self.norm(x)).reshape(B, N, 3, self.heads, C // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(y.transpose(1, 2).reshape(B, N, C))
        return self.out(x.mean(1))


class Additive(nn.Module):
    """Neural additive model: a small network a column (Agarwal et al., 2021)."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList(
            nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, N_OUTPUTS))
            for _ in range(N_COLUMNS)
        )
        self.bias = nn.Parameter(torch.zeros(N_OUTPUTS))

    def forward(self, x):
        """Return the logits."""
        found = [part(x[:, i : i + 1]) for i, part in enumerate(self.parts)]
        return torch.stack(found, dim=-1).sum(-1) + self.bias


class AdditiveByGroups(nn.Module):
    """The same by grouped convolutions."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv1d(N_COLUMNS, 8 * N_COLUMNS, 1, groups=N_COLUMNS)
        self.out = nn.Linear(8 * N_COLUMNS, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        return self.out(F.relu(self.a(x.unsqueeze(-1))).squeeze(-1))


class ColumnMixer(nn.Module):
    """MLP-Mixer over columns (Tolstikhin et al., 2021)."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Parameter(torch.randn(N_COLUMNS, WIDTH))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.across = nn.Sequential(
            nn.Linear(N_COLUMNS, 24), nn.GELU(), nn.Linear(24, N_COLUMNS)
        )
        self.within = nn.Sequential(
            nn.Linear(WIDTH, 48), nn.GELU(), nn.Linear(48, WIDTH)
        )
        self.out = nn.Linear(WIDTH, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        x = x.unsqueeze(-1) * self.embed
        x = x + self.across(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        x = x + self.within(self.norms[1](x))
        return self.out(x.mean(dim=1))


class Experts(nn.Module):
    """A soft mixture of experts with weights of three dimensions."""

    def __init__(self, n_experts=4):
        super().__init__()
        self.gate = nn.Linear(N_COLUMNS, n_experts)
        self.first = nn.Parameter(torch.randn(n_experts, N_COLUMNS, WIDTH) / 4)
        self.bias = nn.Parameter(torch.zeros(n_experts, WIDTH))
        self.second = nn.Parameter(torch.randn(n_experts, WIDTH, N_OUTPUTS) / 4)

    def forward(self, x):
        """Return the logits."""
        gate = self.gate(x).softmax(dim=-1)
        x = F.relu(torch.einsum("bi,eij->bej", x, self.first) + self.bias)
        return torch.einsum("bej,ejo,be->bo", x, self.second, gate)


class Ensemble(nn.Module):
    """Networks side by side, by bmm."""

    def __init__(self, k=4):
        super().__init__()
        self.k = k
        self.first = nn.Parameter(torch.randn(k, N_COLUMNS, WIDTH) / 4)
        self.second = nn.Parameter(torch.randn(k, WIDTH, N_OUTPUTS) / 4)

    def forward(self, x):
        """Return the logits."""
        x = x.unsqueeze(0).expand(self.k, -1, -1)
        return torch.bmm(torch.bmm(x, self.first).relu(), self.second).mean(0)


class Graph(nn.Module):
    """A graph convolution over columns, their neighbours fixed."""

    def __init__(self):
        super().__init__()
        near = (torch.rand(N_COLUMNS, N_COLUMNS) < 0.2).float() + torch.eye(N_COLUMNS)
        self.register_buffer("adjacency", near / near.sum(1, keepdim=True))
        self.embed = nn.Linear(1, 16)
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)
        self.out = nn.Linear(16, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        x = self.embed(x.unsqueeze(-1))
        x = F.relu(self.adjacency @ self.a(x))
        return self.out(F.relu(self.b(torch.matmul(self.adjacency, x))).mean(1))


class GatedFeatures(nn.Module):
    """GANDALF: gated units that learn which columns to read (Joseph, Raj, 2022)."""

    def __init__(self, n_stages=2):
        super().__init__()
        self.masks = nn.Parameter(torch.rand(n_stages, N_COLUMNS))
        self.gates = nn.ModuleList(
            nn.Linear(2 * N_COLUMNS, 2 * N_COLUMNS) for _ in range(n_stages)
        )
        self.states = nn.ModuleList(
            nn.Linear(2 * N_COLUMNS, N_COLUMNS) for _ in range(n_stages)
        )
        self.out = nn.Linear(N_COLUMNS, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        h = x
        for d, (gates, states) in enumerate(zip(self.gates, self.states, strict=True)):
            masked = self.masks[d].softmax(dim=-1) * x
            z, r = torch.sigmoid(gates(torch.cat([masked, h], dim=-1))).chunk(2, dim=-1)
            state = torch.tanh(states(torch.cat([r * h, x], dim=-1)))
            h = (1 - z) * h + z * state
        return self.out(h)


class SoftTree(nn.Module):
    """One soft decision tree (Frosst, Hinton, 2017)."""

    def __init__(self, depth=3):
        super().__init__()
        self.depth = depth
        self.inner = nn.Linear(N_COLUMNS, 2**depth - 1)
        self.leaves = nn.Linear(2**depth, N_OUTPUTS, bias=False)

    def forward(self, x):
        """Return the logits."""
        right = torch.sigmoid(self.inner(x)).unsqueeze(-1)
        both = torch.cat([1 - right, right], dim=2)
        reached = x.new_ones(x.shape[0], 1, 1)
        start = 0
        for level in range(self.depth):
            reached = reached.view(x.shape[0], -1, 1).repeat(1, 1, 2)
            reached = reached * both[:, start : start + 2**level]
            start += 2**level
        return self.leaves(reached.view(x.shape[0], -1))


class HyperNetwork(nn.Module):
    """Weights of a layer, made of the columns."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Linear(N_COLUMNS, 8 * WIDTH)
        self.first, self.out = nn.Linear(N_COLUMNS, WIDTH), nn.Linear(8, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        w = self.weights(x).view(-1, 8, WIDTH)
        return self.out(torch.bmm(w, self.first(x).relu().unsqueeze(-1)).squeeze(-1))


class Bilinear(nn.Module):
    """torch's bilinear layer."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(N_COLUMNS, 12), nn.Linear(N_COLUMNS, 12)
        self.both, self.out = nn.Bilinear(12, 12, 16), nn.Linear(16, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        return self.out(self.both(self.a(x).relu(), self.b(x).relu()).relu())


class Perceiver(nn.Module):
    """A few latent tokens that ask the columns (Jaegle et al., 2021)."""

    def __init__(self, n_latents=4):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(n_latents, WIDTH))
        self.embed = nn.Parameter(torch.randn(N_COLUMNS, WIDTH))
        self.ask = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.norm, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        x = x.unsqueeze(-1) * self.embed
        latents = self.latents.unsqueeze(0).expand(x.shape[0], -1, -1)
        latents = latents + self.ask(latents, x, x, need_weights=False)[0]
        return self.out(self.norm(latents).mean(1))


def kan(layer):
    """Return two such layers."""
    return nn.Sequential(layer(N_COLUMNS, 16), layer(16, N_OUTPUTS))


MAKERS = {
    "NODE": NODE,
    "KAN splines": lambda: kan(SplineLinear),
    "KAN bumps": lambda: kan(RadialLinear),
    "KAN Chebyshev": lambda: kan(ChebyshevLinear),
    "DCN v2": CrossNetwork,
    "DeepFM": FactorisationMachine,
    "AutoInt": AutoInt,
    "SAINT": Saint,
    "NAM": Additive,
    "NAM by groups": AdditiveByGroups,
    "mixer of columns": ColumnMixer,
    "mixture of experts": Experts,
    "ensemble by bmm": Ensemble,
    "graph of columns": Graph,
    "GANDALF": GatedFeatures,
    "soft tree": SoftTree,
    "hypernetwork": HyperNetwork,
    "bilinear": Bilinear,
    "perceiver": Perceiver,
}
CASES = {
    name: Case("tables", make, (N_COLUMNS,), "columns") for name, make in MAKERS.items()
}
