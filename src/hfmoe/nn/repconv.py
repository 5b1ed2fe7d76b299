"""Re-parameterised convolution: several branches while learning, one kernel at every use."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.nn.cpu_ops import PointwiseConv


class RepConv(nn.Module):
    """3x3 + 1x1 + identity (where the widths agree), summed into one 3x3 kernel at each call.

    Summing the kernels instead of the outputs gives the same gradients at the cost of one
    convolution. No batch norm. Lineage: RepVGG, arXiv 2101.03697; collapsing while training:
    SESR, arXiv 2103.09404.
    """

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.conv3 = nn.Conv2d(dim, out, 3, padding=1)
        self.conv1 = nn.Conv2d(dim, out, 1, bias=False)
        self.identity = nn.Parameter(torch.ones(out)) if dim == out else None

    def kernel(self) -> Float[Tensor, "o i 3 3"]:
        """The one kernel that equals the sum of the branches."""
        point = self.conv1.weight[:, :, 0, 0]
        if self.identity is not None:
            point = point + torch.diag(self.identity)
        return self.conv3.weight + F.pad(point[:, :, None, None], (1, 1, 1, 1))

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        """Convolve with the one kernel."""
        return F.conv2d(x, self.kernel().to(x.dtype), self.conv3.bias, padding=1)

    def fold(self) -> nn.Conv2d:
        """An ordinary convolution with the same output."""
        return fixed_conv(self.kernel(), self.conv3.bias, padding=1)


def fixed_conv(
    weight: Float[Tensor, "o i k k"], bias: Float[Tensor, " o"] | None, *, padding: int
) -> nn.Conv2d:
    """An ordinary convolution with a copy of this kernel and bias (None is 0)."""
    out, dim, size, _ = weight.shape
    kind = {"device": weight.device, "dtype": weight.dtype}
    if size == 1:
        conv = PointwiseConv(dim, out, **kind)
    else:
        conv = nn.Conv2d(dim, out, size, padding=padding, **kind)
    zero = torch.zeros(out, device=weight.device, dtype=weight.dtype)
    conv.load_state_dict({"weight": weight.detach(), "bias": zero if bias is None else bias.detach()})
    return conv
