"""A job on a Ray of two workers, one of which is killed on the way: every result once, nothing lost."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

import hfmoe
from hfmoe.batch.cluster import RETRIES, Actor, Cluster, check_address, connected, pack
from hfmoe.batch.manifest import MANIFEST
from hfmoe.batch.settings import Naming, Selection, Settings
from hfmoe.cli.app import run
from hfmoe.image.files import Picture, printable, read_picture, write_picture

PICTURES = 12
SCRIPT = Path(__file__).with_name("lose_a_worker.py")


def picture(seed: int, side: int = 224) -> Picture:
    colour = torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))
    return Picture(colour, bits=16 if seed == 1 else 8)


@pytest.mark.slow
def test_workers_of_a_ray_of_our_own_get_the_time_that_we_get(monkeypatch: pytest.MonkeyPatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_worker_niceness", "7")
    monkeypatch.delenv("RAY_worker_niceness")
    with connected(Cluster(workers=1)):
        assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)


@pytest.mark.slow
def test_a_worker_killed_on_the_way_loses_and_doubles_nothing(tmp_path: Path, tiny_weights: Path, capsys):
    for library in ("ray", "pyarrow", "pandas", "fsspec"):
        pytest.importorskip(library)
    folder, output = tmp_path / "in", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    names = [f"{number}.png" if number % 2 == 0 else f"sub/{number}.png" for number in range(PICTURES - 1)]
    names.append(os.fsdecode(b"sub/\xff.png"))
    for number, name in enumerate(names):
        write_picture(folder / name, picture(number))
    (folder / "bad.png").write_bytes((folder / "0.png").read_bytes()[:2000])
    command = [sys.executable, str(SCRIPT), str(folder), str(output), str(tiny_weights)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)

    lines = child.stdout.splitlines()
    (killed,) = [line for line in lines if line.startswith("killed after")]
    assert int(killed.split()[2]) < PICTURES, child.stderr
    assert "status 1" in lines, child.stderr
    complaints = [line for line in child.stderr.splitlines() if line.startswith("hfmoe: ")]
    assert len(complaints) == 2
    assert str(folder / "bad.png") in complaints[0]
    assert complaints[1] == f"hfmoe: 1 of {PICTURES + 1} images failed"

    due = {(output / name).with_name(f"{Path(name).stem}-x2.png") for name in names}
    assert {path for path in output.rglob("*") if path.is_file()} == due | {output / MANIFEST}
    told = Counter(line.split("  ")[0] for line in lines if line.startswith(str(output)))
    assert told == Counter(map(printable, due))
    entries = [json.loads(line) for line in (output / MANIFEST).read_text().splitlines()]
    written = Counter(entry["target"] for entry in entries if "written" in entry)
    assert written == Counter(path.relative_to(output).as_posix() for path in due)
    assert "the example ran" in lines, child.stderr

    restorer = hfmoe.load(tiny_weights)
    for number, name in ((0, "0-x2.png"), (1, "sub/1-x2.png")):
        result, alone = read_picture(output / name), tmp_path / "alone.png"
        write_picture(alone, restorer.picture(read_picture(folder / names[number])))
        assert result.bits == (16 if number == 1 else 8)
        assert torch.equal(result.colour, read_picture(alone).colour)

    assert run(["restore", str(folder), "--output", str(output), "--model", str(tiny_weights)]) == 1
    assert f"{PICTURES} of {PICTURES + 1} were done before" in capsys.readouterr().out


def actor(weights: Path, begun: int = 1, **settings: object) -> Actor:
    packed = pack(str(weights), digest="")
    return Actor(packed, Settings(**settings), "cpu", lambda _: begun)  # pyright: ignore[reportArgumentType]


def row(source: str, target: str, data: bytes = b"") -> dict[str, object]:
    return {"place": 7, "source": os.fsencode(source), "target": os.fsencode(target), "data": data}


def test_a_worker_goes_from_path_to_path_with_16_bits(tmp_path: Path, tiny_weights: Path):
    write_picture(tmp_path / "a.png", picture(1, 16))
    said = actor(tiny_weights)(row(str(tmp_path / "a.png"), str(tmp_path / "out/b.png")))
    assert (said["place"], said["error"], said["width"], said["height"]) == (7, "", 32, 32)
    assert said["read_size"] == (tmp_path / "a.png").stat().st_size
    assert read_picture(tmp_path / "out/b.png").bits == 16


def test_a_worker_goes_from_a_store_to_a_store(tmp_path: Path, tiny_weights: Path):
    write_picture(tmp_path / "a.png", picture(0, 16))
    content = (tmp_path / "a.png").read_bytes()
    said = actor(tiny_weights)(row("memory:///in/a.png", "memory://out/a.webp", content))
    (tmp_path / "b.webp").write_bytes(said["data"])
    assert read_picture(tmp_path / "b.webp").colour.shape == (3, 32, 32)


def test_a_bad_picture_is_named_by_its_place_and_stops_no_other(tmp_path: Path, tiny_weights: Path):
    write_picture(tmp_path / "a.png", picture(0, 16))
    worker = actor(tiny_weights)
    bad = worker(row("memory:///in/bad.png", "memory://out/bad.png", b"no image"))
    assert bad["error"].startswith("memory:///in/bad.png: ")
    assert "hfmoe-" not in bad["error"]
    gone = worker(row(str(tmp_path / "gone.png"), str(tmp_path / "b.png")))
    assert gone["error"].startswith(f"{tmp_path}/gone.png: ")
    assert worker(row(str(tmp_path / "a.png"), str(tmp_path / "b.png")))["error"] == ""


def test_a_picture_that_kills_its_workers_is_given_up(tmp_path: Path, tiny_weights: Path):
    write_picture(tmp_path / "a.png", picture(0, 16))
    said = actor(tiny_weights, begun=RETRIES + 2)(row(str(tmp_path / "a.png"), str(tmp_path / "b.png")))
    assert said["error"] == f"{tmp_path}/a.png: its worker died {RETRIES + 1} times"
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--engine", "spark"], "--engine 'spark' must be local or ray"),
        (["--engine", "ray", "--device", "cuda:1"], "--device cuda:1 must be cuda"),
        (["--engine", "ray", "--workers", "0"], "--workers 0 must be in"),
        (["--address", "auto"], "--address is of ray"),
        (["--output", "s3://bucket/out"], "s3://bucket/out is an address; --engine ray"),
    ],
)
def test_engines_that_cannot_be_are_refused(
    options: list[str], rule: str, tmp_path: Path, tiny_weights: Path, capsys
):
    write_picture(tmp_path / "a.png", picture(0, 8))
    assert run(["restore", str(tmp_path), "--model", str(tiny_weights), *options]) == 2
    assert rule in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:1", "127.0.0.1:99999"])
def test_a_cluster_that_does_not_answer_is_said_at_once(address: str):
    with pytest.raises(RuntimeError, match=r"^no Ray at "):
        check_address(address)


def test_without_ray_the_extra_is_named(tmp_path: Path, tiny_weights: Path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    write_picture(tmp_path / "a.png", picture(0, 8))
    command = ["restore", str(tmp_path), "--output", str(tmp_path / "out"), "--model", str(tiny_weights)]
    assert run([*command, "--engine", "ray"]) == 1
    assert capsys.readouterr().err == "hfmoe: ray is needed: pip install 'hf-moe-ir[ray]'\n"


def test_without_fsspec_addresses_name_the_extra(monkeypatch):
    from hfmoe.batch.planning import plan_jobs

    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ImportError) as caught:
        plan_jobs(["memory://a"], None, naming=Naming("-x2"), selection=Selection())
    assert (caught.value.name or "").startswith("fsspec")
