"""A network of attention in shifted windows, in the manner of SwinIR."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hfmoe.ablate.peers.body import Body
from hfmoe.models.network import pad_to_multiple
from hfmoe.nn.attention import WindowAttention


class WindowedBlock(nn.Module):
    """Swin's layer: attention in windows, then a two-layer perceptron, each behind a layer norm."""

    def __init__(self, dim: int, *, heads: int, window: int, shifted: bool, expand: float) -> None:
        super().__init__()
        hidden = round(expand * dim)
        self.norm1 = nn.LayerNorm(dim)
        self.attention = WindowAttention(dim, heads=heads, window=window, shifted=shifted)
        self.norm2 = nn.LayerNorm(dim)
        self.perceptron = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Attend, then transform each token."""
        x = x + self.attention(self.norm1(x))
        return x + self.perceptron(self.norm2(x))


class WindowedGroup(nn.Module):
    """SwinIR's residual group: layers whose windows alternate, a 3x3 convolution, plus what went in."""

    def __init__(self, dim: int, *, layers: int, heads: int, window: int, expand: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(
                WindowedBlock(dim, heads=heads, window=window, shifted=place % 2 == 1, expand=expand)
                for place in range(layers)
            )
        )
        self.last = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Attend over the map."""
        tokens = self.layers(rearrange(x, "b c h w -> b h w c"))
        return self.last(rearrange(tokens, "b h w c -> b c h w")) + x


class WindowedNetwork(Body):
    """SwinIR: groups of shifted-window attention at full resolution.

    Source: Liang et al., "SwinIR: image restoration using Swin transformer", arXiv 2108.10257.
    """

    def __init__(
        self,
        *,
        dim: int = 24,
        groups: int = 2,
        layers: int = 2,
        heads: int = 2,
        window: int = 8,
        expand: float = 2.0,
        scale: int = 4,
        channels: int = 3,
    ) -> None:
        parts = [
            WindowedGroup(dim, layers=layers, heads=heads, window=window, expand=expand)
            for _ in range(groups)
        ]
        super().__init__(parts, dim=dim, scale=scale, channels=channels)
        self.window = window
        self.scale = scale

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Restore images in [0, 1]; sides are padded to multiples of the window."""
        height, width = image.shape[2:]
        restored = super().forward(pad_to_multiple(image, self.window))
        return restored[:, :, : height * self.scale, : width * self.scale]
