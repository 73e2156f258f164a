"""Networks of HuggingFace's transformers, from small configurations.

Encoders and decoders of text are given tokens, which they look up, or, where the name
says "columns", the embeddings of a table's columns.
"""

from functools import partial

import torch
from _network_list import N_OUTPUTS, VOCABULARY, Case
from torch import nn

LENGTH, WIDTH = 12, 32
SIZES = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
TEXT = SIZES | {"vocab_size": VOCABULARY, "max_position_embeddings": 40}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GROUPED = TEXT | TOKENS | {"num_key_value_heads": 2, "head_dim": 8}
GPT2 = {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "n_positions": 40}
GPT2 |= TOKENS | {"vocab_size": VOCABULARY}
DISTILBERT = {"dim": WIDTH, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
DISTILBERT |= {"vocab_size": VOCABULARY, "max_position_embeddings": 40}
T5 = {"d_model": WIDTH, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
T5 |= {"vocab_size": VOCABULARY}
IMAGE = {"image_size": 32, "num_channels": 3}
STAGES = {"hidden_sizes": [16, 32], "depths": [1, 1]}


def make_config(kind, **sizes):
    """Return a configuration without a cache of keys and values."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(**sizes)
    config.num_labels = N_OUTPUTS
    if hasattr(config, "use_cache"):
        config.use_cache = False
    return config


class Classifier(nn.Module):
    """A model of transformers that has logits, from tokens or images to them."""

    def __init__(self, model, tokens):
        super().__init__()
        self.model, self.tokens = model, tokens

    def forward(self, x):
        """Return the logits."""
        return self.model(x.long() if self.tokens else x).logits


class MeanOfTokens(nn.Module):
    """The mean of an encoder's or a decoder's tokens, and a linear layer."""

    def __init__(self, model, width=WIDTH):
        super().__init__()
        self.model, self.head = model, nn.Linear(width, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        return self.head(self.model(x.long()).last_hidden_state.mean(1))


class OfColumns(nn.Module):
    """The same over the columns of a table, each with an embedding of its own."""

    def __init__(self, model, n_columns=LENGTH, width=WIDTH):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_columns, width))
        self.bias = nn.Parameter(torch.randn(n_columns, width))
        self.model, self.head = model, nn.Linear(width, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        x = x.unsqueeze(-1) * self.weight + self.bias
        return self.head(self.model(inputs_embeds=x).last_hidden_state.mean(1))


class OfPositions(nn.Module):
    """The mean of an image model's positions, and a linear layer."""

    def __init__(self, model, width):
        super().__init__()
        self.model, self.head = model, nn.Linear(width, N_OUTPUTS)

    def forward(self, x):
        """Return the logits."""
        x = self.model(x).last_hidden_state
        return self.head(x.mean(1) if x.ndim == 3 else x.mean((2, 3)))


def classifier(task, kind, **sizes):
    """Return a model with the head that transformers has for it."""
    import transformers

    model = getattr(transformers, f"{kind}For{task}Classification")
    return Classifier(model(make_config(kind, **sizes)), task == "Sequence")


def around(wrapper, kind, suffix="Model", width=WIDTH, **sizes):
    """Return a model without a head, and one around it."""
    import transformers

    model = getattr(transformers, f"{kind}{suffix}")(make_config(kind, **sizes))
    return wrapper(model, width=width)


# With the heads of transformers.
OF_SEQUENCES = {
    "Bert": TEXT,
    "DistilBert": DISTILBERT,
    "Roberta": TEXT,
    "Electra": TEXT | {"embedding_size": 16},
    "Albert": TEXT | {"embedding_size": 16},
    "MPNet": TEXT,
    "DebertaV2": TEXT | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "SqueezeBert": TEXT | {"embedding_size": WIDTH},
    "ModernBert": TEXT | TOKENS | {"cls_token_id": 1, "sep_token_id": 2},
}
# Means of tokens.
WITHOUT_HEAD = {
    "XLMRoberta": TEXT,
    "RoFormer": TEXT | {"embedding_size": WIDTH},
    "FNet": TEXT,
    "GPT2": GPT2,
    "GPTNeo": TOKENS
    | {
        "hidden_size": WIDTH,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 40,
        "attention_types": [[["global", "local"], 1]],
    },
    "GPTNeoX": TEXT | TOKENS,
    "OPT": TEXT | TOKENS | {"ffn_dim": 48, "word_embed_proj_dim": WIDTH},
    "Bloom": TOKENS
    | {"hidden_size": WIDTH, "n_layer": 2, "n_head": 4}
    | {"vocab_size": VOCABULARY},
    "Llama": GROUPED,
    "Mistral": GROUPED,
    "Qwen2": GROUPED,
    "Qwen3": GROUPED,
    "Gemma": GROUPED,
    "Phi": TEXT | TOKENS,
}
OF_COLUMNS = {"Bert": TEXT, "Roberta": TEXT, "GPT2": GPT2, "Llama": GROUPED}
VISION = SIZES | IMAGE | {"patch_size": 8}
OF_IMAGES = {
    "ViT": VISION,
    "DeiT": VISION,
    "Beit": VISION,
    "Dinov2": VISION,
    "Swin": IMAGE
    | {"patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4]}
    | {"window_size": 4},
    "Swinv2": IMAGE
    | {"patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4]}
    | {"window_size": 4},
    "ConvNext": IMAGE | STAGES | {"num_stages": 2},
    "ConvNextV2": IMAGE | STAGES | {"num_stages": 2},
    "MobileViT": IMAGE
    | {"hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 8, 16, 16, 16, 32]}
    | {"patch_size": 2, "num_attention_heads": 4, "image_size": 64},
    "MobileNetV2": IMAGE | {"depth_multiplier": 0.35},
    "ResNet": {"embedding_size": 16, "layer_type": "basic"} | STAGES,
    "RegNet": {"embedding_size": 16, "groups_width": 8} | STAGES,
    "PoolFormer": IMAGE | {"hidden_sizes": [16, 32, 32, 32], "depths": [1, 1, 1, 1]},
    "Segformer": IMAGE
    | {"hidden_sizes": [16, 32, 32, 32], "depths": [1, 1, 1, 1]}
    | {"num_attention_heads": [1, 2, 4, 4], "sr_ratios": [4, 2, 1, 1]},
}


def sides(kind, sizes):
    """Return the side of the images that a model takes."""
    return (3, sizes.get("image_size", 32), sizes.get("image_size", 32))


CASES = {}
for kind, sizes in OF_SEQUENCES.items():
    make = partial(classifier, "Sequence", kind, **sizes)
    CASES[f"{kind} classifier"] = Case("HuggingFace", make, (LENGTH,), "tokens")
for kind, sizes in WITHOUT_HEAD.items():
    make = partial(around, MeanOfTokens, kind, **sizes)
    CASES[f"{kind} mean"] = Case("HuggingFace", make, (LENGTH,), "tokens")
make = partial(around, MeanOfTokens, "T5", "EncoderModel", **T5)
CASES["T5 encoder"] = Case("HuggingFace", make, (LENGTH,), "tokens")
for kind, sizes in OF_COLUMNS.items():
    make = partial(around, OfColumns, kind, **sizes)
    CASES[f"{kind} columns"] = Case("HuggingFace", make, (LENGTH,), "columns")
for kind, sizes in OF_IMAGES.items():
    make = partial(classifier, "Image", kind, **sizes)
    CASES[f"{kind} images"] = Case("HuggingFace", make, sides(kind, sizes))
CASES["CLIP images"] = Case(
    "HuggingFace", partial(around, OfPositions, "CLIPVision", **VISION), (3, 32, 32)
)
CASES["Siglip images"] = Case(
    "HuggingFace", partial(around, OfPositions, "SiglipVision", **VISION), (3, 32, 32)
)
