from pathlib import Path

import pytest
import skimage.data
import torch
from einops import rearrange

import hfmoe
from hfmoe.evaluate.pictures import unrestored
from hfmoe.evaluate.protocols import ProtocolSettings, choose_protocol, default_protocol
from hfmoe.evaluate.scores import score_image
from hfmoe.image.files import Picture, write_picture
from hfmoe.models.header import shipped


def photo(name: str) -> torch.Tensor:
    return rearrange(torch.from_numpy(getattr(skimage.data, name)()), "h w c -> 1 c h w").float() / 255


@pytest.mark.parametrize("name", shipped())
def test_tiles_of_a_real_photo_equal_the_whole_with_every_shipped_model(name: str):
    restorer = hfmoe.load(name, device="cpu")
    side, counts = restorer.smallest_tile(), []
    image = photo("astronaut")[..., : side + 70, : side + 101]
    whole = restorer(image, tile="off")
    tiled = restorer(image, tile=side, on_tile=lambda done, total: counts.append(total))
    assert len(counts) == counts[-1] >= 4
    assert (whole - tiled).abs().max() < 2 / 255
    assert -10 * (whole - tiled).square().mean().log10() > 60


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_model_beats_the_input_it_was_given_by_the_protocol_of_its_task(
    name: str, tmp_path: Path
):
    restorer = hfmoe.load(name, device="cpu")
    scale, facts = restorer.scale, restorer.facts
    write_picture(tmp_path / "coffee.png", Picture(photo("coffee")[0, :, :240, :240]))
    protocol = choose_protocol(
        default_protocol(facts.task, scale=scale, channels=3), scale=scale, settings=ProtocolSettings()
    )
    (pair,) = protocol.pairs(tmp_path)
    ours, plain = (
        score_image(image, pair.target, border=protocol.border)
        for image in (restorer(pair.degraded), unrestored(pair))
    )
    assert getattr(ours, protocol.headline) > getattr(plain, protocol.headline) + 0.5
