"""Processing of clean photos by cameras and sites: sharpened and saved as JPEG, before any degradation."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image

from hfmoe.data import PairedFolders, read_photos
from hfmoe.data.camera_processing import CameraProcessing, sharpened
from hfmoe.data.degradations.blur import GaussianBlur
from hfmoe.data.photos import prepare
from hfmoe.data.sources import find_sources
from hfmoe.image.resize import resize

ALWAYS = CameraProcessing(share=1.0, quality=(90, 90), sharpening=(0.0, 0.0))


def changed(**fields: Any) -> CameraProcessing:
    return ALWAYS.model_copy(update=fields)


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


def test_sharpening_adds_what_a_blur_would_take(image: torch.Tensor):
    blur = GaussianBlur(7, sigma=(1.0, 1.0))
    levels = image.float()
    expected = levels + 0.5 * (levels - blur(levels))
    result = sharpened(image, amount=0.5, radius=1.0).float()
    assert (result - expected.clamp(0, 255)).abs().max() <= 0.51
    assert torch.equal(sharpened(image, amount=0.0, radius=1.0), image)


def test_a_gray_photo_stays_gray(image: torch.Tensor):
    assert CameraProcessing(share=1.0, quality=(90, 90), sharpening=(0.3, 0.3)).applied(
        image[:1], name="a.png"
    ).shape == (1, 48, 64)


def test_the_share_of_found_photos_follows_the_names_and_comes_again(image: torch.Tensor):
    found = CameraProcessing(share=0.5, quality=(70, 90))
    names = [f"{number}.png" for number in range(64)]
    first, second = ([found.applied(image, name=name) for name in names] for _ in range(2))
    assert all(map(torch.equal, first, second))
    changed = [each for each in first if not torch.equal(each, image)]
    assert 20 < len(changed) < 44
    assert len({each.numpy().tobytes() for each in changed}) == len(changed)


def test_the_small_side_is_made_of_the_found_photo(folder: Path):
    source = find_sources([folder])[1]
    degraded, target, _ = prepare(source, scale=3, channels=3, processing=ALWAYS)
    clean = prepare(source, scale=3, channels=3).target
    as_found = ALWAYS.applied(rearrange(torch.from_numpy(clean), "h w c -> c h w"), name=source.target.name)
    assert np.array_equal(target, rearrange(as_found, "c h w -> h w c").numpy())
    small = resize(as_found.float() / 255, scale=Fraction(1, 3), round_to_uint8=True)
    assert np.allclose(degraded / 255, rearrange(small, "c h w -> h w c").numpy(), atol=1e-6)


def test_a_cache_tells_found_photos_from_those_as_they_are(folder: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    kinds = (None, ALWAYS, changed(sharpening=(0.5, 0.5)), changed(quality=(60, 60)))
    first = [read_photos([folder], scale=2, cache=cache, processing=how).photos[0].target for how in kinds]
    again = [read_photos([folder], scale=2, cache=cache, processing=how).photos[0].target for how in kinds]
    in_ram = [read_photos([folder], scale=2, processing=how).photos[0].target for how in kinds]
    assert len({target.tobytes() for target in first}) == len(kinds)
    assert all(map(np.array_equal, first, again)) and all(map(np.array_equal, first, in_ram))


def test_a_pair_stays_as_it_came(folder: Path):
    source = find_sources([PairedFolders(folder, folder)])[0]
    kept, plain = (prepare(source, scale=1, channels=3, processing=how) for how in (ALWAYS, None))
    assert all(map(np.array_equal, kept[:2], plain[:2]))
