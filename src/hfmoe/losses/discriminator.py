"""Real or restored, pixel by pixel: a U-Net discriminator with spectral normalisation."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SETTLING = 15
"""Power iterations when a layer is made: its largest singular value is then near enough."""


class SpectralConv(nn.Module):
    """Convolution whose weight, as a matrix of outputs x (inputs k k), has the largest singular value 1.

    weight / |W^T u|, u being the left singular vector as the power iterations have it; the gradient takes u
    as a constant. Neither mode nor forward moves u: `advance` does, once a step, so that a forward pass is a
    function. The division is in float32 under autocast. Source: Miyato et al., "Spectral Normalization for
    Generative Adversarial Networks", ICLR 2018.
    """

    u: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(nn.Conv2d(inputs, outputs, kernel).weight.detach())
        self.register_buffer("u", F.normalize(torch.randn(outputs), dim=0))
        for _ in range(SETTLING):
            self.advance()

    @torch.no_grad()
    def advance(self) -> None:
        """Do one power iteration: u becomes W W^T u, made as long as 1."""
        matrix = self.weight.flatten(1)
        self.u.copy_(F.normalize(matrix @ (matrix.T @ self.u), dim=0))

    def normalised(self) -> Float[Tensor, "o i k k"]:
        """Return the weight over its largest singular value."""
        with torch.autocast(self.weight.device.type, enabled=False):
            return self.weight / torch.linalg.vector_norm(self.weight.flatten(1).T @ self.u)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o hs ws"]:
        """Convolve, padded to keep the size or to halve it (stride 2, kernel 4)."""
        return F.conv2d(x, self.normalised(), stride=self.stride, padding=1)


class UNetDiscriminator(nn.Module):
    """Three halvings and three doublings with additive skips; a logit a pixel, high for real images.

    Width 64 has 4.38 M parameters and about 390 K multiply-adds a pixel; both grow with its square. A logit
    sees at most 64 x 64 pixels. Images of any size from 8 up; doublings take the size of their skip. Source:
    Wang et al., "Real-ESRGAN", ICCV Workshops 2021.
    """

    def __init__(self, channels: int = 3, *, width: int = 64) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList(
            SpectralConv(width * 2**level, width * 2 ** (level + 1), 4, stride=2) for level in range(3)
        )
        self.up = nn.ModuleList(
            SpectralConv(width * 2 ** (level + 1), width * 2**level, 3) for level in reversed(range(3))
        )
        self.refine = nn.ModuleList(SpectralConv(width, width, 3) for _ in range(2))
        self.leave = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        """Judge every pixel."""
        x = bent(self.enter(image))
        skips = []
        for down in self.down:
            skips.append(x)
            x = bent(down(x))
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = bent(up(enlarged(x, like=skip))) + skip
        for refine in self.refine:
            x = bent(refine(x))
        return self.leave(x)

    def advance(self) -> None:
        """Do one power iteration in every normalised layer."""
        for module in self.modules():
            if isinstance(module, SpectralConv):
                module.advance()


def bent(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Leaky ReLU of slope 0.2."""
    return F.leaky_relu(x, 0.2)


def enlarged(x: Float[Tensor, "b c h w"], *, like: Float[Tensor, "b d H W"]) -> Float[Tensor, "b c H W"]:
    """Bilinear enlargement to the height and width of another map."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)
