"""Photos as they are found: paled and saved as JPEG, before anything is made of them."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image

from hfmoe.data import read_photos
from hfmoe.data.found import Found, paled
from hfmoe.data.photos import prepare
from hfmoe.data.sources import find_sources
from hfmoe.image.resize import resize

ALWAYS = Found(1.0, (90.0, 90.0), (1.0, 1.0))


@pytest.fixture
def image() -> torch.Tensor:
    levels = np.random.default_rng(0).uniform(60, 190, size=(3, 48, 64))
    return torch.from_numpy(levels).round().byte()


def test_a_found_photo_is_what_a_jpeg_file_with_halved_colours_gives_back(image: torch.Tensor):
    file = io.BytesIO()
    pixels = rearrange(image, "c h w -> h w c").numpy()
    Image.fromarray(pixels).save(file, format="JPEG", quality=90, subsampling="4:2:0")
    expected = np.asarray(Image.open(file), dtype=np.int64)
    found = rearrange(ALWAYS.applied(image, name="a.png"), "c h w -> h w c").numpy()
    change = np.abs(expected - pixels).mean()
    assert np.abs(found - expected).mean() < 0.05 * change


@pytest.mark.parametrize("saturation", [0.0, 0.3, 1.0])
def test_paling_scales_the_distance_from_gray_and_keeps_luma(image: torch.Tensor, saturation: float):
    pale = paled(image, saturation=saturation).float()
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    before, after = ((levels.float() * luma).sum(0) for levels in (image, pale))
    assert (before - after).abs().max() <= 0.5
    assert torch.allclose(pale - after, saturation * (image.float() - before), atol=1.01)


def test_a_gray_photo_keeps_its_levels_when_paled(image: torch.Tensor):
    assert torch.equal(paled(image[:1], saturation=0.2), image[:1])


def test_the_share_of_found_photos_follows_the_names_and_comes_again(image: torch.Tensor):
    found = Found(0.5, (70.0, 90.0), (0.4, 1.0))
    names = [f"{number}.png" for number in range(64)]
    first, second = ([found.applied(image, name=name) for name in names] for _ in range(2))
    assert all(map(torch.equal, first, second))
    changed = [each for each in first if not torch.equal(each, image)]
    assert 20 < len(changed) < 44
    assert len({each.numpy().tobytes() for each in changed}) == len(changed)


def test_the_small_side_is_made_of_the_found_photo(folder: Path):
    source = find_sources([folder])[1]
    degraded, target = prepare(source, scale=3, channels=3, found=ALWAYS)
    clean = prepare(source, scale=3, channels=3).target
    as_found = ALWAYS.applied(rearrange(torch.from_numpy(clean), "h w c -> c h w"), name=source.target.name)
    assert np.array_equal(target, rearrange(as_found, "c h w -> h w c").numpy())
    small = resize(as_found.float() / 255, scale=Fraction(1, 3), round_to_uint8=True)
    assert np.allclose(degraded / 255, rearrange(small, "c h w -> h w c").numpy(), atol=1e-6)


def test_a_cache_tells_found_photos_from_those_as_they_are(folder: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    plain, found, again = (
        read_photos([folder], scale=2, cache=cache, found=how) for how in (None, ALWAYS, ALWAYS)
    )
    assert not np.array_equal(plain.photos[0].target, found.photos[0].target)
    assert np.array_equal(found.photos[0].target, again.photos[0].target)
    assert np.array_equal(read_photos([folder], scale=2).photos[0].target, plain.photos[0].target)
