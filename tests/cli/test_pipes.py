"""Pictures through stdin and stdout, one or a stream of PNGs, and the recipe for a video's frames."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hfmoe.cli.app import run
from hfmoe.cli.pipes import pictures_of
from hfmoe.image.files import ImageError

PAGE = Path(__file__).parents[2] / "docs" / "restoring.md"


def encoded(form: str = "png", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def piped(content: bytes, monkeypatch, *options: object) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    return run(["restore", *map(str, options)])


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "tiff", "bmp"])
def test_a_picture_goes_through_and_nothing_else_is_written(
    form: str, tiny_weights: Path, tmp_path: Path, monkeypatch, capsysbinary
):
    assert piped(encoded(form), monkeypatch, "-", "--model", tiny_weights) == 0
    found = capsysbinary.readouterr()
    assert opened(found.out).size == (48, 40)
    assert found.err == b""
    source = tmp_path / f"a.{form}"
    source.write_bytes(encoded(form))
    assert run(["restore", str(source), "--output", "-", "--model", str(tiny_weights)]) == 0
    assert capsysbinary.readouterr().out == found.out
    assert list(tmp_path.iterdir()) == [source]


def test_formats_sizes_and_a_file_as_output(tiny_weights: Path, tmp_path: Path, monkeypatch, capsysbinary):
    options = ("-", "--output", "-", "--format", "jpg", "--width", 30)
    assert piped(encoded(), monkeypatch, *options) == 0
    picture = opened(capsysbinary.readouterr().out)
    assert (picture.format, picture.size) == ("JPEG", (30, 25))
    target = tmp_path / "new" / "a.webp"
    assert piped(encoded(), monkeypatch, "-", "--output", target, "--model", tiny_weights) == 0
    assert opened(target.read_bytes()).format == "WEBP"
    assert capsysbinary.readouterr().out == b""


def test_each_png_of_a_stream_comes_out_as_soon_as_it_is_whole(tiny_weights: Path, monkeypatch, capsysbinary):
    stream = b"".join(encoded(seed=seed) for seed in range(3))
    assert piped(stream, monkeypatch, "-", "--model", tiny_weights) == 0
    frames = list(pictures_of(io.BytesIO(capsysbinary.readouterr().out)))
    assert [opened(frame).size for frame in frames] == [(48, 40)] * 3
    first = io.BytesIO(stream)
    next(pictures_of(first))
    assert first.tell() == len(encoded())


def test_what_cannot_be_is_one_line_on_stderr(tiny_weights: Path, tmp_path: Path, monkeypatch, capsysbinary):
    cut, model = encoded()[:-300], ("--model", tiny_weights)
    cases = [
        (b"", ("-",), 1, b"stdin: holds no picture"),
        (b"text", ("-",), 1, b"stdin: cut off, or not a"),
        (cut, ("-",), 1, b"stdin: damaged or cut off"),
        (encoded() + cut, ("-",), 1, b"stdin, picture 2: damaged or cut off"),
        (encoded() + b"text, text", ("-",), 1, b"what follows picture 1 is no PNG"),
        (encoded() * 2, ("-", "--output", tmp_path / "a.png"), 1, b"a.png: holds one picture"),
        (encoded(), ("-", "--output", tmp_path / "a.txt"), 2, b"suffix must be one of"),
        (encoded("jpeg") * 2, ("-",), 1, b"stdin: several JPEG or BMP pictures; several must be PNG"),
        (encoded("bmp") * 2, ("-",), 1, b"stdin: several JPEG or BMP pictures"),
        (encoded(), ("-", "--format", "gif"), 2, b"--format 'gif' must be one of"),
        (encoded(), (tmp_path, "--output", "-"), 2, b"- stands for one file"),
        (encoded(), ("-", "-"), 2, b"- stands for one file"),
    ]
    for content, options, status, rule in cases:
        assert piped(content, monkeypatch, *options, *model) == status
        err = capsysbinary.readouterr().err
        assert rule in err
        assert err.count(b"\n") == 1
    with pytest.raises(ImageError, match="a chunk of 4294967295 bytes"):
        list(pictures_of(io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"\xff" * 8)))


def test_pictures_that_belong_to_a_jpeg_are_no_stream():
    first, progressive = encoded("jpeg"), io.BytesIO()
    opened(first).save(progressive, "jpeg", progressive=True)
    assert list(pictures_of(io.BytesIO(progressive.getvalue()))) == [progressive.getvalue()]
    for data in (first + b"\0" * 9, first[:-40], first[:20] + b"MPF\0" + first[20:] + first):
        assert list(pictures_of(io.BytesIO(data))) == [data]
    with pytest.raises(ImageError, match="several JPEG"):
        list(pictures_of(io.BytesIO(progressive.getvalue() + first)))


FFMPEG = """#!{python}
import io, sys
import numpy as np
from PIL import Image
from hfmoe.cli.pipes import pictures_of

if sys.argv[-1] == "-":
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(sys.stdout.buffer, "png")
        sys.stdout.flush()
else:
    frames = [Image.open(io.BytesIO(frame)) for frame in pictures_of(sys.stdin.buffer)]
    rate = sys.argv[sys.argv.index("-framerate") + 1]
    open(sys.argv[-1], "w").write(f"{{len(frames)}} {{frames[0].size}} {{rate}}")
"""


@pytest.mark.slow
def test_the_recipe_for_a_video_runs_as_it_stands(tmp_path: Path):
    """ffmpeg is stood in for: its place is taken by a program that makes and takes PNGs in its way."""
    [recipe] = re.findall(r"```\n(rate=\$\(ffprobe.*?)```", PAGE.read_text(), flags=re.DOTALL)
    programs = {
        "ffmpeg": FFMPEG.format(python=sys.executable),
        "ffprobe": "#!/bin/sh\necho 30000/1001\n",
        "hfmoe": f'#!/bin/sh\nexec {sys.executable} -m hfmoe "$@"\n',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-e", "-c", recipe], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out.mp4").read_text() == "3 (48, 40) 30000/1001"
