import pytest
import skimage.data
import torch
from einops import rearrange

import hfmoe
from hfmoe.evaluate.protocol import ClassicalSR
from hfmoe.image.depth import round_to_8bit
from hfmoe.image.resize import resize
from hfmoe.models.header import shipped


def photo(name: str) -> torch.Tensor:
    return rearrange(torch.from_numpy(getattr(skimage.data, name)()), "h w c -> 1 c h w").float() / 255


@pytest.mark.parametrize("name", shipped())
def test_tiles_of_a_real_photo_equal_the_whole_with_every_shipped_model(name):
    restorer = hfmoe.load(name, device="cpu")
    image = photo("chelsea")[..., :260, :310]
    whole = restorer(image, tile="off")
    tiled = restorer(image, tile=restorer.smallest_tile())
    assert (whole - tiled).abs().max() < 2 / 255
    assert -10 * (whole - tiled).square().mean().log10() > 60


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_model_beats_bicubic_on_a_real_photo(name):
    restorer = hfmoe.load(name, device="cpu")
    scale = restorer.scale
    truth = photo("coffee")[..., :240, :240]
    small = resize(truth, scale=1 / scale, round_to_uint8=True)
    protocol = ClassicalSR(scale)
    ours = protocol.score(restorer(small), truth).psnr_y
    assert ours > protocol.score(round_to_8bit(resize(small, scale=scale)), truth).psnr_y + 0.5
