"""Configuration of the network: shape parameters and one switch for each ablation."""

from dataclasses import dataclass, fields

NORMS = ("layer", "rms", "grn", "none")
CHOICES: dict[str, tuple[object, ...]] = {
    "scale": (1, 2, 3, 4),
    "channels": (1, 3),
    "stem_norm": NORMS,
    "texture": ("depthwise", "dense", "rep"),
    "texture_norm": NORMS,
    "cross_stride": (1, 2, 4),
}
LEAST = {
    "dim": 1,
    "low_dims": 1,
    "encoder_blocks": 0,
    "decoder_blocks": 0,
    "window": 2,
    "head_dim": 1,
    "token_group": 0,
    "deformable_reach": 0,
    "experts": 1 / 64,
    "top_k": 1,
    "texture_blocks": 0,
    "texture_hidden": 1,
    "dynamic_width": 1,
    "dynamic_groups": 1,
    "dynamic_kernel": 1,
    "cross_dim": 1,
    "residual_scale": 0,
}
MOST = {
    "dim": 4096,
    "low_dims": 8192,
    "encoder_blocks": 256,
    "decoder_blocks": 256,
    "window": 64,
    "head_dim": 1024,
    "token_group": 64,
    "deformable_reach": 64,
    "experts": 64,
    "top_k": 4,
    "texture_blocks": 1024,
    "texture_hidden": 8192,
    "dynamic_width": 1024,
    "dynamic_groups": 1024,
    "dynamic_kernel": 31,
    "cross_dim": 1024,
    "residual_scale": 100,
}
"""Beyond these a configuration is a mistake or an attack: building it would take all memory."""


@dataclass(frozen=True)
class HFMoEConfig:
    """Every number the network is built from.

    Attributes:
        scale: enlargement, 1 to 4.
        channels: image channels, 1 (gray) or 3 (RGB).
        dim: width of the high path at full resolution.
        stem_norm: "layer", "rms", "grn" or "none".
        unshuffle: the stem folds 2x2 pixels into channels first (for scale 1).
        frequency_split: off, the high path gets all frequencies and the low one 2x2 means.
        learned_split: off, the low-pass stays binomial.
        low_dims: width of the low path at each of its 1 to 3 scales, finest first.
        encoder_blocks: attention blocks at each scale going down.
        decoder_blocks: attention blocks at each scale but the coarsest going up.
        window: window side in low-band positions.
        head_dim: channels of an attention head.
        token_group: side of a global token's group of windows; 0 for no tokens.
        deformable_reach: largest offset in positions at the coarsest scale; 0 for fixed windows.
        experts: hidden width of each expert relative to its layer's width; one means a dense FFN.
        top_k: experts a window is sent to.
        texture_blocks: conv-gated blocks on the high path.
        texture: spatial convolution in them: "depthwise", "dense", or "rep", dense and re-parameterised.
        texture_hidden: gated width in them.
        texture_norm: "layer", "rms", "grn" or "none".
        dynamic_filter: off, a depthwise convolution instead.
        dynamic_width: channels the dynamic filter works on.
        dynamic_groups: kernels a pixel predicts.
        dynamic_kernel: side of those kernels.
        cross_attention: off, the bands are only concatenated.
        cross_dim: reduced channels of cross-attention.
        cross_stride: low-band positions a side that are one position of cross-attention: a power of 2, and
            no coarser than the low path's coarsest grid (a larger one means that grid).
        reparam: off, plain convolution in the head.
        residual_scale: start of every learned residual scale.
    """

    scale: int = 4
    channels: int = 3
    dim: int = 32
    stem_norm: str = "none"
    unshuffle: bool = False
    frequency_split: bool = True
    learned_split: bool = True
    low_dims: tuple[int, ...] = (32, 32)
    encoder_blocks: tuple[int, ...] = (0, 2)
    decoder_blocks: tuple[int, ...] = (0,)
    window: int = 8
    head_dim: int = 32
    token_group: int = 0
    deformable_reach: float = 0.0
    experts: tuple[float, ...] = (0.25, 0.5, 1.0)
    top_k: int = 1
    texture_blocks: int = 3
    texture: str = "dense"
    texture_hidden: int = 16
    texture_norm: str = "rms"
    dynamic_filter: bool = True
    dynamic_width: int = 8
    dynamic_groups: int = 2
    dynamic_kernel: int = 3
    cross_attention: bool = True
    cross_dim: int = 8
    cross_stride: int = 1
    reparam: bool = True
    residual_scale: float = 0.2

    def __post_init__(self) -> None:
        for field in fields(self):
            check_type(field.name, getattr(self, field.name), like=field.default)
        for name, least in LEAST.items():
            values = getattr(self, name)
            for value in values if isinstance(values, tuple) else (values,):
                require(least <= value <= MOST[name], name, value, f"be in [{least:g}, {MOST[name]}]")
        for name, choices in CHOICES.items():
            require(getattr(self, name) in choices, name, getattr(self, name), f"be one of {choices}")
        self._check_shape()

    def _check_shape(self) -> None:
        scales = len(self.low_dims)
        require(1 <= scales <= 3, "low_dims", self.low_dims, "have 1 to 3 scales")
        blocks = (len(self.encoder_blocks), len(self.decoder_blocks))
        rule = f"be {scales} and {scales - 1} for {scales} scales"
        require(blocks == (scales, scales - 1), "length of encoder_blocks and decoder_blocks", blocks, rule)
        require(1 <= len(self.experts) <= 4, "experts", self.experts, "be 1 to 4 widths")
        cheap_first = tuple(sorted(self.experts)) == self.experts
        require(cheap_first, "experts", self.experts, "go from cheap to heavy")
        require(self.top_k <= len(self.experts), "top_k", self.top_k, "be at most the number of experts")
        for dim in self.low_dims:
            require(dim % self.head_dim == 0, "low_dims", dim, f"be a multiple of head_dim {self.head_dim}")
        groups = self.dynamic_groups
        fits = self.dynamic_width % groups == 0
        require(fits, "dynamic_width", self.dynamic_width, f"be a multiple of dynamic_groups {groups}")
        require(self.dynamic_kernel % 2 == 1, "dynamic_kernel", self.dynamic_kernel, "be odd")
        require(self.window % 2 == 0, "window", self.window, "be even")

    @property
    def folding(self) -> int:
        """Pixels a side that the stem folds into one."""
        return 2 if self.unshuffle else 1

    @property
    def size_multiple(self) -> int:
        """Height and width are padded to a multiple of this inside."""
        return self.folding * 2 * self.window * 2 ** (len(self.low_dims) - 1)


def check_type(name: str, value: object, *, like: object) -> None:
    """ValueError unless `value` has the type of `like`; whole numbers pass as floats, tuples item by item."""
    if isinstance(like, tuple):
        require(isinstance(value, tuple), name, value, "be a list")
        for item in value if isinstance(value, tuple) else ():
            check_type(name, item, like=like[0])
        return
    kinds = (int, float) if isinstance(like, float) else type(like)
    fits = isinstance(value, kinds) and (isinstance(like, bool) or not isinstance(value, bool))
    require(fits, name, value, f"be a {'number' if isinstance(like, float) else type(like).__name__}")


def require(holds: bool, field: str, value: object, rule: str) -> None:
    """ValueError naming the field, its value and the rule it breaks."""
    if not holds:
        raise ValueError(f"{field} {value!r} must {rule}")
