"""Presets of the network as data: nano to large, each for scales 1 to 4."""

from dataclasses import replace

from hfmoe.models.config import HFMoEConfig

NANO = HFMoEConfig(cross_stride=2, encoder_blocks=(0, 1), texture_blocks=5)
TINY = replace(
    NANO,
    dim=48,
    low_dims=(48, 48),
    encoder_blocks=(0, 2),
    head_dim=24,
    texture_blocks=5,
    texture_hidden=24,
    dynamic_width=16,
    cross_dim=16,
)
SMALL = replace(
    NANO,
    dim=64,
    stem_norm="layer",
    low_dims=(64, 96),
    encoder_blocks=(2, 2),
    decoder_blocks=(2,),
    token_group=4,
    deformable_reach=2.0,
    experts=(0.25, 0.5, 1.0, 1.25),
    texture="depthwise",
    texture_blocks=8,
    texture_hidden=64,
    texture_norm="layer",
    dynamic_width=16,
    dynamic_groups=4,
    cross_dim=16,
)
BASE = replace(
    SMALL,
    dim=128,
    low_dims=(96, 160, 224),
    encoder_blocks=(2, 2, 2),
    decoder_blocks=(2, 2),
    experts=(0.25, 0.5, 1.0),
    texture_blocks=20,
    texture_hidden=128,
    dynamic_width=32,
    dynamic_groups=8,
    cross_dim=32,
)
LARGE = replace(
    BASE,
    dim=192,
    low_dims=(192, 320, 448),
    encoder_blocks=(3, 3, 2),
    decoder_blocks=(2, 2),
    texture_blocks=30,
    texture_hidden=192,
    dynamic_width=48,
    dynamic_groups=12,
    cross_dim=48,
)
SIZES = {"nano": NANO, "tiny": TINY, "small": SMALL, "base": BASE, "large": LARGE}
# noise and blocks, which scale 1 removes, lie in both bands; its convolutions get both (docs/ablations.md)
PRESETS: dict[str, HFMoEConfig] = {
    f"{name}-x{scale}": replace(size, scale=scale, unshuffle=scale == 1, frequency_split=scale > 1)
    for name, size in SIZES.items()
    for scale in (1, 2, 3, 4)
}
# the bound of nano is 100K weights, but at x4 the time of a plain 3x3 network of 70K
PRESETS["nano-x4"] = replace(PRESETS["nano-x4"], texture_blocks=4)

ABLATIONS: dict[str, dict[str, object]] = {
    "full": {},
    "dense-ffn": {"experts": (0.5,)},
    "heaviest-ffn": {"experts": (1.0,)},
    "depthwise-texture": {"texture": "depthwise"},
    "dense-texture": {"texture": "dense"},
    "rep-texture": {"texture": "rep"},
    "depthwise-filter": {"dynamic_filter": False},
    "no-cross-attention": {"cross_attention": False},
    "fixed-windows": {"deformable_reach": 0.0},
    "deformable-windows": {"deformable_reach": 2.0},
    "no-frequency-split": {"frequency_split": False},
    "frozen-split": {"learned_split": False},
    "no-global-tokens": {"token_group": 0},
    "global-tokens": {"token_group": 4},
    "top-2": {"top_k": 2},
    "two-experts": {"experts": (0.25, 1.0)},
    "four-experts": {"experts": (0.25, 0.5, 1.0, 2.0)},
    "plain-head": {"reparam": False},
    "texture-layer-norm": {"texture_norm": "layer"},
    "texture-rms-norm": {"texture_norm": "rms"},
    "texture-no-norm": {"texture_norm": "none"},
    "stem-layer-norm": {"stem_norm": "layer"},
    "stem-grn": {"stem_norm": "grn"},
    "stem-no-norm": {"stem_norm": "none"},
}
