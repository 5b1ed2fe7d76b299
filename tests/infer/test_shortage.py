"""When memory runs out: smaller tiles, the same result, and no tile where another belongs."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import hfmoe
from hfmoe.infer.eager import Eager
from hfmoe.infer.memory import MOST_AT_ONCE, _container_room, is_shortage, plan_batch
from hfmoe.infer.tiled import restore_tensor
from hfmoe.infer.tiles import TileGeometry

GEOMETRY = TileGeometry(2, 8, halo=2, overlap=4)

SAYINGS = (
    "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to take 9",
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "MPS backend out of memory (MPS allocated: 8 GB)",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate",
)


class Short:
    """A network of a 5 x 5 neighbourhood that runs out of memory above so many pixels."""

    def __init__(self, pixels: int, error: BaseException) -> None:
        self.pixels, self.error = pixels, error
        self.seen: list[int] = []
        self.failed = 0
        self.kernel = torch.rand(3, 3, 5, 5, generator=torch.Generator().manual_seed(1))

    def whole(self, image: torch.Tensor) -> torch.Tensor:
        return F.interpolate(F.conv2d(image, self.kernel, padding=2), scale_factor=2)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(image.shape[0] * image.shape[2] * image.shape[3])
        if self.seen[-1] > self.pixels:
            self.failed += 1
            raise self.error
        return self.whole(image)


def errors() -> list[BaseException]:
    return [MemoryError(), torch.OutOfMemoryError("gone"), *(RuntimeError(saying) for saying in SAYINGS)]


def restore(network: Short, image: torch.Tensor, *, tile: int | None, batch: int = 1, on_tile=None):
    return restore_tensor(network, image, GEOMETRY, tile=tile, batch=batch, on_tile=on_tile)


@pytest.mark.parametrize("error", errors(), ids=lambda error: str(error)[:20])
def test_every_allocators_way_to_say_it_is_understood(error: BaseException):
    network, image = Short(2000, error), torch.rand(1, 3, 60, 50)
    torch.testing.assert_close(restore(network, image, tile=None), network.whole(image), rtol=1e-4, atol=1e-4)
    assert network.failed


@pytest.mark.parametrize("tile", [None, 96, 56])
@pytest.mark.parametrize("pixels", [3000, 600])
def test_the_result_is_that_of_the_whole_image_however_short_memory_is(tile: int | None, pixels: int):
    image = torch.rand(1, 3, 130, 150, generator=torch.Generator().manual_seed(2))
    network = Short(pixels, MemoryError())
    restored = restore(network, image, tile=tile)
    assert network.failed
    torch.testing.assert_close(restored, network.whole(image), rtol=1e-4, atol=1e-4)


def test_what_memory_allowed_is_remembered_for_the_tiles_that_follow():
    network = Short(1000, MemoryError())
    restore(network, torch.rand(1, 3, 300, 300), tile=96)
    assert network.failed == 2
    assert len(network.seen) > 50


def test_memory_that_runs_out_in_the_middle_changes_no_tile_before_or_after():
    image = torch.rand(1, 3, 130, 150)
    network = Short(10**6, MemoryError())

    def tighter(part: torch.Tensor) -> torch.Tensor:
        network.pixels = 1200 if len(network.seen) > 2 else 10**6
        return network(part)

    restored = restore_tensor(tighter, image, GEOMETRY, tile=64)
    assert network.failed
    torch.testing.assert_close(restored, network.whole(image), rtol=1e-4, atol=1e-4)


def test_a_smallest_tile_that_does_not_fit_is_an_error_and_no_result():
    network = Short(10, RuntimeError(SAYINGS[0]))
    with pytest.raises(MemoryError, match="memory does not suffice for a tile of 16 pixels"):
        restore(network, torch.rand(1, 3, 130, 150), tile=None)


def test_an_error_of_another_kind_is_not_taken_for_a_shortage():
    network = Short(10, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        restore(network, torch.rand(1, 3, 130, 150), tile=None)
    assert network.failed == 1
    assert not is_shortage(ValueError("out of memory"))


def test_several_tiles_at_once_change_nothing_and_are_halved_first():
    image = torch.rand(2, 3, 130, 190)
    network = Short(10**6, MemoryError())
    together = restore(network, image, tile=40, batch=3)
    assert max(network.seen) == 3 * 2 * 40 * 40
    torch.testing.assert_close(together, network.whole(image), rtol=1e-4, atol=1e-4)
    short = Short(2 * 40 * 40, MemoryError())
    torch.testing.assert_close(restore(short, image, tile=40, batch=3), together)
    assert short.failed == 1


def test_progress_counts_the_tiles_that_were_run_after_the_shortage():
    seen: list[tuple[int, int]] = []
    network = Short(2000, MemoryError())
    restore(
        network,
        torch.rand(1, 3, 130, 150),
        tile=None,
        on_tile=lambda done, total: seen.append((done, total)),
    )
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][0] == seen[-1][1]


def test_a_batch_is_planned_by_memory_on_accelerators_alone():
    gpu = torch.device("cuda")
    assert plan_batch(256, bytes_per_pixel=1000, free=2**30, device=torch.device("cpu")) == 1
    assert plan_batch(256, bytes_per_pixel=1000, free=2**30, device=gpu) == 2**29 // (1000 * 256**2)
    assert plan_batch(256, bytes_per_pixel=1000, free=2**40, device=gpu) == MOST_AT_ONCE
    assert plan_batch(256, bytes_per_pixel=1000, free=0, device=gpu) == 1
    assert plan_batch(None, bytes_per_pixel=1000, free=2**40, device=gpu) == 1


def test_a_containers_limit_counts_and_its_file_cache_is_free(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    assert _container_room(tmp_path) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert _container_room(tmp_path) == 2**63
    assert _container_room(tmp_path / "absent") == 2**63


@pytest.mark.parametrize("free", [2**30, 8 * 2**30])
def test_the_result_takes_room_where_the_image_lies_and_tiles_on_the_device(monkeypatch, free: int):
    """A GPU that is smaller than the result still gets tiles as large as it holds."""
    host, card = 64 * 2**30, torch.device("cuda")
    monkeypatch.setattr(
        "hfmoe.infer.restorer.free_bytes", lambda place: free if place.type == "cuda" else host
    )
    restorer = hfmoe.load("nano-x4")
    restorer = replace(restorer, engine=Eager(restorer.network, card))
    image = torch.empty(1, device="cpu").expand(1, 3, 6000, 8000)
    load = restorer._load(image, "auto", False)
    assert load.tile is not None and load.tile > 2 * restorer.smallest_tile()
    assert load.tile**2 * load.batch * restorer.geometry.bytes_per_pixel <= free


def test_where_memory_is_one_the_result_is_taken_off_and_neighbours_have_their_parts(monkeypatch):
    monkeypatch.setattr("hfmoe.infer.restorer.free_bytes", lambda place: 16 * 2**30)
    restorer = hfmoe.load("nano-x4")
    image = torch.empty(1).expand(1, 3, 2000, 3000)
    places = {
        kind: replace(restorer, engine=Eager(restorer.network, torch.device(kind))) for kind in ("cpu", "mps")
    }
    alone, other = (places[kind]._load(image, "auto", False).tile for kind in ("cpu", "mps"))
    assert alone == other
    shared = replace(restorer, sharers=4)._load(image, "auto", False).tile
    assert shared is not None and shared < (alone or 3000)
    with pytest.raises(MemoryError):
        replace(restorer, sharers=64)._load(image, "auto", False)
