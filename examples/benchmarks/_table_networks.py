"""Networks for tables: those of packages, and plain ones as people write them."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from _network_list import N_OUTPUTS, Case
from torch import nn

N_COLUMNS = 20
WIDTH = 32


def rtdl(kind, **options):
    """Return a network of rtdl_revisiting_models."""
    import rtdl_revisiting_models as rtdl

    sizes = {
        "MLP": {"n_blocks": 2, "d_block": WIDTH, "dropout": 0.1},
        "ResNet": {
            "n_blocks": 2,
            "d_block": WIDTH,
            "d_hidden": None,
            "d_hidden_multiplier": 2.0,
            "dropout1": 0.1,
            "dropout2": 0.0,
        },
    }
    return getattr(rtdl, kind)(
        d_in=N_COLUMNS, d_out=N_OUTPUTS, **sizes[kind], **options
    )


class FTTransformer(nn.Module):
    """The FT-Transformer of rtdl_revisiting_models, of columns of numbers."""

    def __init__(self, **options):
        super().__init__()
        from rtdl_revisiting_models import FTTransformer

        self.model = FTTransformer(
            n_cont_features=N_COLUMNS,
            cat_cardinalities=[],
            d_out=N_OUTPUTS,
            n_blocks=2,
            d_block=WIDTH,
            attention_n_heads=4,
            attention_dropout=0.1,
            ffn_d_hidden=None,
            ffn_d_hidden_multiplier=2.0,
            ffn_dropout=0.1,
            residual_dropout=0.0,
            **options,
        )

    def forward(self, x):
        """Return the logits."""
        return self.model(x, None)


class TabM(nn.Module):
    """TabM in one of its forms; the mean of its predictions."""

    def __init__(self, form, embedded=None):
        super().__init__()
        import rtdl_num_embeddings as embeddings
        from tabm import TabM

        made = {
            None: lambda: None,
            "linear": lambda: embeddings.LinearReLUEmbeddings(N_COLUMNS, 8),
            "periodic": lambda: embeddings.PeriodicEmbeddings(
                N_COLUMNS, 8, n_frequencies=6, lite=False
            ),
            "piecewise": lambda: embeddings.PiecewiseLinearEmbeddings(
                [torch.linspace(-2, 2, 7)] * N_COLUMNS,
                8,
                activation=False,
                version="B",
            ),
        }
        self.model = TabM.make(
            n_num_features=N_COLUMNS,
            d_out=N_OUTPUTS,
            num_embeddings=made[embedded](),
            arch_type=form,
            d_block=WIDTH,
            k=4,
        )

    def forward(self, x):
        """Return the logits."""
        return self.model(x).mean(1)


class TabNet(nn.Module):
    """TabNet of pytorch-tabnet, without its loss of sparsity."""

    def __init__(self, mask_type):
        super().__init__()
        from pytorch_tabnet.tab_network import TabNet

        self.model = TabNet(
            N_COLUMNS,
            N_OUTPUTS,
            mask_type=mask_type,
            group_attention_matrix=torch.eye(N_COLUMNS),
        )

    def forward(self, x):
        """Return the logits."""
        return self.model(x)[0]


def numbers(kind, **options):
    """Return embeddings of numbers of rtdl_num_embeddings, and a perceptron."""
    import rtdl_num_embeddings as embeddings

    if kind == "PiecewiseLinearEmbeddings":
        bins = [torch.linspace(-2, 2, 7)] * N_COLUMNS
        embed = embeddings.PiecewiseLinearEmbeddings(bins, 8, **options)
    else:
        embed = getattr(embeddings, kind)(N_COLUMNS, 8, **options)
    return nn.Sequential(embed, nn.Flatten(), perceptron(8 * N_COLUMNS))


def perceptron(n_in=N_COLUMNS, norm=nn.BatchNorm1d, act=nn.ReLU, width=WIDTH):
    """Two hidden layers, normalised."""
    return nn.Sequential(
        nn.Linear(n_in, width),
        norm(width),
        act(),
        nn.Dropout(0.1),
        nn.Linear(width, width),
        norm(width),
        act(),
        nn.Linear(width, N_OUTPUTS),
    )


def by_norm(normalise):
    """Linear layers whose weights are normalised."""
    return nn.Sequential(
        normalise(nn.Linear(N_COLUMNS, WIDTH)),
        nn.ReLU(),
        normalise(nn.Linear(WIDTH, WIDTH)),
        nn.ReLU(),
        nn.Linear(WIDTH, N_OUTPUTS),
    )


def self_normalising():
    """SELU and its dropout."""
    return nn.Sequential(
        nn.Linear(N_COLUMNS, WIDTH),
        nn.SELU(),
        nn.AlphaDropout(0.1),
        nn.Linear(WIDTH, WIDTH),
        nn.SELU(),
        nn.Linear(WIDTH, N_OUTPUTS),
    )


class Residual(nn.Module):
    """Residual blocks after a first layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(N_COLUMNS, WIDTH)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(WIDTH),
                nn.Linear(WIDTH, 2 * WIDTH),
                nn.GELU(),
                nn.Linear(2 * WIDTH, WIDTH),
            )
            for _ in range(2)
        )
        self.out = nn.Linear(WIDTH, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.out(x)


class DenselyConnected(nn.Module):
    """Each layer reads all before."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(N_COLUMNS + 16 * i, 16) for i in range(3))
        self.out = nn.Linear(N_COLUMNS + 48, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        found = [x]
        for layer in self.layers:
            found.append(F.relu(layer(torch.cat(found, dim=1))))
        return self.out(torch.cat(found, dim=1))


class Highway(nn.Module):
    """Gates between a layer and what it is given."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(N_COLUMNS, WIDTH)
        self.plain, self.gate = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        x = F.relu(self.first(x))
        gate = torch.sigmoid(self.gate(x))
        return self.out(gate * F.relu(self.plain(x)) + (1 - gate) * x)


class GatedLinear(nn.Module):
    """One half of a layer gates the other."""

    def __init__(self, activation):
        super().__init__()
        self.activation = activation
        self.first, self.out = (
            nn.Linear(N_COLUMNS, 2 * WIDTH),
            nn.Linear(WIDTH, N_OUTPUTS),
        )

    def forward(self, x):
        """Return the logits."""
        value, gate = self.first(x).chunk(2, dim=-1)
        return self.out(value * self.activation(gate))


class Maxout(nn.Module):
    """The largest of several linear layers."""

    def __init__(self, pieces=3):
        super().__init__()
        self.pieces = pieces
        self.first = nn.Linear(N_COLUMNS, WIDTH * pieces)
        self.out = nn.Linear(WIDTH, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        x = self.first(x).view(x.size(0), -1, self.pieces)
        return self.out(x.max(dim=-1).values)


class EntityEmbeddings(nn.Module):
    """Four columns are looked up, the others are numbers."""

    def __init__(self, n_looked_up=4, width=5):
        super().__init__()
        self.n = n_looked_up
        self.embeddings = nn.ModuleList(nn.Embedding(50, width) for _ in range(self.n))
        self.norm = nn.BatchNorm1d(N_COLUMNS - self.n)
        self.layers = perceptron(self.n * width + N_COLUMNS - self.n)

    def forward(self, x):
        """Return the logits."""
        codes = x[:, : self.n].abs().long()
        found = [e(codes[:, i]) for i, e in enumerate(self.embeddings)]
        return self.layers(torch.cat([*found, self.norm(x[:, self.n :])], dim=1))


class FourierFeatures(nn.Module):
    """Sines and cosines of fixed random projections."""

    def __init__(self):
        super().__init__()
        self.register_buffer("B", 0.3 * torch.randn(N_COLUMNS, 16))
        self.layers = perceptron(32)

    def forward(self, x):
        """Return the logits."""
        x = 2 * math.pi * x @ self.B
        return self.layers(torch.cat([x.sin(), x.cos()], dim=-1))


class Convolutions(nn.Module):
    """A layer whose outputs are read as a picture of one dimension."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(N_COLUMNS, 8 * 16)
        self.a, self.b = nn.Conv1d(8, 16, 3, padding=1), nn.Conv1d(16, 16, 3, padding=1)
        self.norm = nn.BatchNorm1d(16)
        self.out = nn.Linear(16 * 8, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        x = F.relu(self.first(x)).reshape(x.shape[0], 8, 16)
        x = F.avg_pool1d(F.relu(self.a(x)), 2)
        return self.out(F.relu(self.norm(self.b(x)) + x).flatten(1))


class Encoder(nn.Module):
    """torch's transformer over the columns, with a token that is read."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(N_COLUMNS, WIDTH))
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 48, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        x = x.unsqueeze(-1) * self.weight
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        return self.out(self.encoder(x)[:, 0])


class Recurrent(nn.Module):
    """A recurrent layer over groups of columns."""

    def __init__(self, kind, **options):
        super().__init__()
        self.recurrent = kind(4, 16, batch_first=True, **options)
        both = 1 + options.get("bidirectional", False)
        self.out = nn.Linear(16 * both, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        return self.out(self.recurrent(x.view(x.shape[0], 5, 4))[0].mean(1))


class ColumnGate(nn.Module):
    """Gates of the columns, of a small network of theirs."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(N_COLUMNS, 8), nn.ReLU(), nn.Linear(8, N_COLUMNS), nn.Sigmoid()
        )
        self.layers = perceptron()

    def forward(self, x):
        """Return the logits."""
        return self.layers(x * self.gate(x))


MAKERS = {
    "rtdl MLP": partial(rtdl, "MLP"),
    "rtdl ResNet": partial(rtdl, "ResNet"),
    "rtdl FT-Transformer": FTTransformer,
    "rtdl FT-Transformer linformer": partial(
        FTTransformer,
        linformer_kv_compression_ratio=0.5,
        linformer_kv_compression_sharing="headwise",
    ),
    "TabM": partial(TabM, "tabm"),
    "TabM mini": partial(TabM, "tabm-mini"),
    "TabM packed": partial(TabM, "tabm-packed"),
    "TabM linear": partial(TabM, "tabm", "linear"),
    "TabM mini periodic": partial(TabM, "tabm-mini", "periodic"),
    "TabM mini piecewise": partial(TabM, "tabm-mini", "piecewise"),
    "TabNet sparsemax": partial(TabNet, "sparsemax"),
    "TabNet entmax": partial(TabNet, "entmax"),
    "embeddings linear": partial(numbers, "LinearReLUEmbeddings"),
    "embeddings periodic": partial(numbers, "PeriodicEmbeddings", lite=False),
    "embeddings periodic lite": partial(numbers, "PeriodicEmbeddings", lite=True),
    "embeddings piecewise": partial(
        numbers, "PiecewiseLinearEmbeddings", activation=True, version="A"
    ),
    "MLP": perceptron,
    "MLP layer norm": partial(perceptron, norm=nn.LayerNorm, act=nn.SiLU),
    "MLP weight norm": partial(by_norm, nn.utils.parametrizations.weight_norm),
    "MLP weight norm old": partial(by_norm, torch.nn.utils.weight_norm),
    "MLP spectral norm": partial(by_norm, nn.utils.parametrizations.spectral_norm),
    "MLP spectral norm old": partial(by_norm, torch.nn.utils.spectral_norm),
    "self-normalising": self_normalising,
    "residual MLP": Residual,
    "dense MLP": DenselyConnected,
    "highway": Highway,
    "GLU": partial(GatedLinear, torch.sigmoid),
    "SwiGLU": partial(GatedLinear, F.silu),
    "maxout": Maxout,
    "entity embeddings": EntityEmbeddings,
    "Fourier features": FourierFeatures,
    "convolutions of columns": Convolutions,
    "encoder of columns": Encoder,
    "LSTM of columns": partial(Recurrent, nn.LSTM),
    "GRU of columns": partial(Recurrent, nn.GRU, bidirectional=True),
    "gate of columns": ColumnGate,
}
CASES = {
    name: Case("tables", make, (N_COLUMNS,), "columns") for name, make in MAKERS.items()
}
