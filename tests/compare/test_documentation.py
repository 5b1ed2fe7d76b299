"""The example in docs/comparing.md runs as it stands."""

import re
from fractions import Fraction
from pathlib import Path

import torch

from hfmoe.image.files import Picture, write_picture
from hfmoe.image.resize import resize

PAGE = Path(__file__).parents[2] / "docs" / "comparing.md"


def test_the_example_runs_as_it_stands(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    truth = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(0))
    soft = resize(resize(truth, scale=Fraction(1, 2)), scale=2).clamp(0, 1)
    for name, image in (("truth", truth), ("bicubic", soft), ("nano", (truth + soft) / 2)):
        write_picture(Path(f"{name}.png"), Picture(image))
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})
    first, *places = capsys.readouterr().out.splitlines()
    assert 5.5 < float(first.split()[0]) < 6.5
    assert places[0].startswith("A and B differ most")
