"""Scaled dot-product attention (arXiv 1706.03762), in ordinary operations where a graph is exported."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def dot_product_attention(
    query: Float[Tensor, "n h t d"],
    key: Float[Tensor, "n h s d"],
    value: Float[Tensor, "n h s d"],
    bias: Float[Tensor, "#n #h t s"] | None = None,
) -> Float[Tensor, "n h t d"]:
    """softmax(query key^T / sqrt(d) + bias) value.

    torch's fused operation asks whether sizes are 1, which ties an exported graph to the sizes it was traced
    with, so while exporting the products are written out.
    """
    if not torch.compiler.is_exporting():
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return (scores if bias is None else scores + bias).softmax(-1) @ value
