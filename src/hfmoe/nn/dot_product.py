"""Scaled dot-product attention (arXiv 1706.03762), in ordinary operations where a graph is exported."""

import torch
import torch.nn.functional as F
from einops import rearrange
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
        trains = torch.is_grad_enabled() and query.device.type == "cpu"
        if trains and bias is not None and bias.requires_grad:
            return batched_products(query, key, value, bias)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return (scores if bias is None else scores + bias).softmax(-1) @ value


def batched_products(
    query: Float[Tensor, "n h t d"],
    key: Float[Tensor, "n h s d"],
    value: Float[Tensor, "n h s d"],
    bias: Float[Tensor, "#n #h t s"],
) -> Float[Tensor, "n h t d"]:
    """The same for a bias that learns, on a CPU: scale and bias go into the product, whose passes they save.

    There torch has no fused operation with a gradient for the bias. No row may be all minus infinity.
    """
    windows, heads, _, dim = query.shape
    query, key, value = (rearrange(part, "n h t d -> (n h) t d") for part in (query, key, value))
    bias = rearrange(bias.expand(windows, heads, -1, -1), "n h t s -> (n h) t s")
    scores = torch.baddbmm(bias, query, key.mT, alpha=dim**-0.5)
    return rearrange(torch.bmm(scores.softmax(-1), value), "(n h) t d -> n h t d", h=heads)
