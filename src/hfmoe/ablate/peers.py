"""The module's name before it was called `baselines`; the paths that studies name keep working."""

from hfmoe.ablate.baselines import DepthwiseAttentionNetwork, GatedNetwork, PlainNetwork, WindowedNetwork

__all__ = ["DepthwiseAttentionNetwork", "GatedNetwork", "PlainNetwork", "WindowedNetwork"]
