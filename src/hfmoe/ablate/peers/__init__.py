"""Small networks in the manner of others', to compare ours with under the same budget.

Each takes keyword numbers and ends in the upsampler of ours, so that they differ in their bodies alone.
"""

from hfmoe.ablate.peers.depthwise import DepthwiseAttentionNetwork
from hfmoe.ablate.peers.gated import GatedNetwork
from hfmoe.ablate.peers.plain import PlainNetwork
from hfmoe.ablate.peers.windowed import WindowedNetwork

__all__ = ["DepthwiseAttentionNetwork", "GatedNetwork", "PlainNetwork", "WindowedNetwork"]
