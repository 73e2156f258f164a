"""Encoders and decoders that call their parts, so that these can be replaced.

`torch.nn.TransformerEncoder` and its layers read the parameters of their parts, for a
fast path. So they can neither be traced nor lose heads, units or channels.
"""

from torch import Tensor, nn


class TransformerEncoderLayer(nn.Module):
    """Attention and a feed-forward network (Vaswani et al., arXiv 1706.03762).

    Parameters
    ----------
    given : nn.TransformerEncoderLayer
        The layer to stand in for. Its parts are taken over, and so is its signature.
    """

    def __init__(self, given: nn.TransformerEncoderLayer):
        super().__init__()
        self.self_attn = given.self_attn
        self.linear1, self.linear2 = given.linear1, given.linear2
        self.norm1, self.norm2 = given.norm1, given.norm2
        self.dropout = given.dropout
        self.dropout1, self.dropout2 = given.dropout1, given.dropout2
        self.activation = given.activation
        self.norm_first = given.norm_first
        self.train(given.training)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Return the stream after attention and feed-forward network."""
        masks = (src_mask, src_key_padding_mask, is_causal)
        if self.norm_first:
            src = src + self._attend(self.norm1(src), *masks)
            return src + self._feed_forward(self.norm2(src))
        src = self.norm1(src + self._attend(src, *masks))
        return self.norm2(src + self._feed_forward(src))

    def _attend(
        self, X: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool
    ) -> Tensor:
        out, _ = self.self_attn(
            X,
            X,
            X,
            attn_mask=mask,
            key_padding_mask=padding,
            need_weights=False,
            is_causal=is_causal,
        )
        return self.dropout1(out)

    def _feed_forward(self, X: Tensor) -> Tensor:
        hidden = self.dropout(self.activation(self.linear1(X)))
        return self.dropout2(self.linear2(hidden))


class _Stack(nn.Module):
    """Layers and a normalisation, taken over from an encoder or a decoder."""

    def __init__(self, given: nn.TransformerEncoder | nn.TransformerDecoder):
        super().__init__()
        self.layers, self.norm = given.layers, given.norm
        self.train(given.training)


class TransformerEncoder(_Stack):
    """Layers of a transformer, one after the other.

    Parameters
    ----------
    given : nn.TransformerEncoder
        The encoder to stand in for. Its parts are taken over, and so is its signature,
        for batches. At padded positions outputs are those of torch's in training; in
        evaluation torch's may give 0 there.
    """

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Return the stream after all layers."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(_Stack):
    """Layers of a decoder, one after the other, which need not find out what masks are.

    Parameters
    ----------
    given : nn.TransformerDecoder
        The decoder to stand in for. Its parts are taken over, and so is its signature.
    """

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Return the stream after all layers."""
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)
