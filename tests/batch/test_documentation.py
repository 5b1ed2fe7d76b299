"""The examples in docs/restoring.md run as they stand."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from hfmoe.image.files import Picture, read_picture, write_picture

PAGE = Path(__file__).parents[2] / "docs" / "restoring.md"


@pytest.mark.slow
def test_the_examples_run_as_they_stand(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("photos/deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png", "c.jpg"):
        write_picture(Path("photos") / name, Picture(torch.rand(3, 24, 20)))
    first, second = (Image.new("RGB", (24, 20), colour) for colour in ("red", "blue"))
    first.save("moving.gif", save_all=True, append_images=[second], duration=50)
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(examples) == 3
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
    assert capsys.readouterr().out.splitlines() == ["2 restored, 0 skipped", "40 48"]
    assert read_picture("large.tif").colour.shape == (3, 48, 40)
