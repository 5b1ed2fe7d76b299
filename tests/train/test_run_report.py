"""The page of a run: every number in it, nothing outside it, whatever state the folder is in."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from hfmoe.cli.app import run
from hfmoe.image.files import Picture, read_picture, write_picture
from hfmoe.models.cost import count_parameters
from hfmoe.nn.routing import cost_prior
from hfmoe.report.samples import MOST_STEPS
from hfmoe.train import Recipe, RunError, train
from hfmoe.train.run_report import write_page

VOID = {"meta", "img", "input", "br"}
Make = Callable[..., Recipe]


@dataclass
class Parsed(HTMLParser):
    """Text by section, attributes, and whether every element is closed where it should be."""

    sections: dict[str, str] = field(default_factory=dict)
    attributes: list[tuple[str, str, str | None]] = field(default_factory=list)
    open: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self):
        HTMLParser.__init__(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append((tag, str(dict(attrs).get("id", ""))))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for tag, identity in self.open:
            if tag in ("section", "header"):
                self.sections[identity] = self.sections.get(identity, "") + " " + data.strip()


def parsed(path: Path) -> Parsed:
    result = Parsed()
    result.feed(path.read_text("utf-8"))
    assert result.open == []
    return result


def step_record(step: int, **fields: Any) -> dict[str, Any]:
    return {
        "kind": "train",
        "step": step,
        "loss": {"total": 2 / step, "l1": 1 / step},
        "gradient_norm": 0.5,
        "load": [[0.75, 0.25]],
        "images_per_second": 20.0,
        "waiting": 0.25,
        "lr": 1e-3,
        "patch": 32,
        **fields,
    }


def validation(step: int, psnr_y: float) -> dict[str, Any]:
    return {"kind": "validation", "step": step, "psnr_y": psnr_y, "best": psnr_y, "time": 86400.0 * step}


def write_run(folder: Path, recipe: dict[str, Any], records: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


@pytest.fixture
def folder(data: dict[str, Any], tmp_path: Path) -> Path:
    """A run of 12 steps that stands at step 8."""
    records = [step_record(4), validation(4, 31.234), step_record(8), validation(8, 30.5)]
    return write_run(tmp_path / "run", data, records)


def test_the_summary_holds_the_numbers_of_the_records(folder: Path):
    said = parsed(write_page(folder)).sections["summary"]
    for expected in (
        "drawn",
        "super-resolution · ×2 · preset nano-x2",
        "67% of 12",
        "31.23 dB validation, step 4, 1970-01-05 00:00 UTC",
        "30.50 dB validation, step 8, 1970-01-09 00:00 UTC",
        "images per second 20",
        "waiting for data 25.00%",
    ):
        assert expected in said, expected
    assert re.search(r"(?<!\d)8 67%", said)


def test_every_section_says_what_the_run_holds(folder: Path, make: Make):
    sections = parsed(write_page(folder)).sections
    for title in (
        "validation PSNR",
        "best 31.23 at 4",
        "loss: l1",
        "last 0.125",
        "learning rate",
        "gradient norm",
    ):
        assert title in sections["curves"], title
    assert "Constant over the run: patch 32" in sections["curves"]
    prior = cost_prior(torch.tensor([0.5, 1.0])).tolist()
    assert f"1 75.0% ({prior[0]:.1%}) 25.0% ({prior[1]:.1%})" in " ".join(sections["routing"].split())
    said = " ".join(sections["configuration"].split())
    parameters = f"parameters {count_parameters(make().config()).total:,}"
    for expected in (
        "batch 2",
        "steps 12",
        "temperature_start 2",
        parameters,
        "experts 0.5, 1",
        "multiply-adds",
    ):
        assert expected in said, expected
    assert "recorded no session" in sections["hardware"]


def test_the_page_refers_to_nothing_outside_itself(folder: Path):
    add_samples(folder, steps=[4])
    path = write_page(folder)
    page = parsed(path)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "action", "poster", "data") or name.endswith(":href"):
            assert value is not None and value.startswith(("data:", "#")), (tag, name, value)
    text = path.read_text("utf-8")
    assert not re.search(r"https?:|@import|<link|<script src|\.js\b|\.css\b", text)
    for address in re.findall(r"url\(([^)]*)\)", text):
        assert address.startswith("#"), address
    identities = [value for _, name, value in page.attributes if name == "id"]
    assert len(identities) == len(set(identities))
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    assert used <= set(identities)


def test_text_of_users_is_shown_and_never_run(data: dict[str, Any], tmp_path: Path):
    evil = "<script>alert('x')</script>&\"$x$"
    records = [
        step_record(4, loss={evil: 1.0}, **{evil: 1.0}),
        step_record(5, loss={evil: 2.0}, **{evil: 2.0}),
        {"kind": evil, "step": 3, evil: evil},
        {"kind": "tasks", "step": 3, evil: {evil: 1.0, f"b{evil}": 2.0}},
        {"kind": "session", "step": 0, "cpu": evil, "torch": evil},
    ]
    folder = write_run(tmp_path / "run", {**data, "name": evil, "notes": evil, evil: {evil: evil}}, records)
    add_samples(folder, steps=[4], name="<b>&'photo'")
    path = write_page(folder)
    page = parsed(path)
    assert path.read_text("utf-8").count("<script>") == 1
    for section in ("summary", "curves", "events", "configuration", "hardware"):
        assert evil in page.sections[section], section
    assert "<b>&'photo'" in page.sections["pictures"]


def test_pictures_are_in_the_page_bit_for_bit(folder: Path, tmp_path: Path):
    add_samples(folder, steps=[4, 8])
    page = parsed(write_page(folder))
    images = [value or "" for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(images) == 4
    kept = read_picture(folder / "samples" / "step-000008" / "a.png").colour
    for address, place in zip((images[0], images[2], images[3]), (0, 1, 2), strict=True):
        file = tmp_path / "shown.webp"
        file.write_bytes(base64.b64decode(address.removeprefix("data:image/webp;base64,")))
        assert torch.equal(read_picture(file).colour, kept[..., 24 * place : 24 * (place + 1)])
    assert "step 4, 31.23 dB" in page.sections["pictures"]


def test_a_page_shows_the_first_the_last_and_a_bounded_number_of_steps(folder: Path):
    add_samples(folder, steps=list(range(1, 40)))
    page = parsed(write_page(folder))
    images = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(images) == MOST_STEPS + 2
    assert "step 1 " in page.sections["pictures"] and "step 39" in page.sections["pictures"]


def test_damaged_pictures_are_named_and_the_others_shown(folder: Path):
    add_samples(folder, steps=[4, 8])
    (folder / "samples" / "step-000004" / "a.png").write_bytes(b"no picture")
    write_picture(folder / "samples" / "step-000008" / "b.png", Picture(torch.rand(3, 8, 10)))
    said = parsed(write_page(folder)).sections["pictures"]
    assert "step-000004/a.png" in said
    assert "width 10 must be a multiple of 3" in said
    assert "step 8" in said


def test_damaged_lines_are_counted_and_the_others_read(folder: Path):
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(
            b'5\nnull\n[1]\n{"step": "x"}\n{"kind": "train"}\n\xff\xfe\n' + b"[" * 5000 + b'\n{"kind": "tr'
        )
    text = write_page(folder).read_text()
    assert "8 lines of metrics.jsonl could not be read" in text
    assert "31.23 dB" in text


def test_records_of_odd_values_do_not_spoil_the_page(folder: Path):
    odd = [
        step_record(
            9, loss={"total": float("nan"), "g": -1.0, "zero": 0.0}, load=[["x"]], images_per_second=0
        ),
        step_record(10, loss="none", load=[[0.2, 0.3, 0.5], [1.0]], lr=10**400, gradient_norm=None),
        {"kind": "validation", "step": 10, "psnr_y": "inf"},
        {"kind": "session", "step": 10, "time": 1e300, "gpus": None},
        {"kind": None, "step": 11, "time": "now"},
        {"step": 11},
        {"kind": "tasks", "step": 11, "mixture": {"sr": 0.5, "jpeg": 0.5}, "note": "words"},
    ]
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in odd)
    sections = parsed(write_page(folder)).sections
    assert "mixture" in sections["tasks"]
    assert "31.23 dB" in sections["summary"]


def test_changes_faults_and_sessions_are_listed(folder: Path):
    events = [
        {"kind": "session", "step": 0, "time": 0.0, "resumed": False, "cpu": "Abacus 3", "gpus": ["Loom"]},
        {"kind": "changes", "step": 4, "fields": {"optimizer.lr": [0.1, 0.2]}},
        {"kind": "fault", "step": 6, "term": "l1", "module": "low.encoders.0"},
        {
            **{"kind": "fault", "step": 7, "what": "stem.conv has inf in its output", "module": "stem.conv"},
            **{
                "term": "l1, total",
                "action": "rolled back",
                "to": 4,
                "batch": "faults/step-000007.safetensors",
            },
        },
        {"kind": "alarm", "step": 8, "what": "the load of expert 1 in layer 1 is out of bounds", "layer": 1},
        {"kind": "change", "step": 9, "fields": {"steps": {"before": 10, "after": 20}}},
        {"kind": "session", "step": 6, "time": 60.0, "resumed": True, "cpu": "Abacus 4", "gpus": ["Loom"]},
    ]
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in events)
    sections = parsed(write_page(folder)).sections
    for expected in (
        *("began", "went on", "changes", "fields.optimizer.lr 0.1, 0.2", "module low.encoders.0"),
        "L1, total are not finite: stem.conv has inf in its output; rolled back to step 4; "
        "batch in faults/step-000007.safetensors.",
        "The load of expert 1 in layer 1 is out of bounds.",
        "Steps changed from 10 to 20.",
    ):
        assert expected in sections["events"], expected
    for expected in ("Abacus 4", "Loom", "differ in processor"):
        assert expected in sections["hardware"], expected


@pytest.mark.parametrize("keep", ["recipe.yaml", "metrics.jsonl"])
def test_half_a_run_has_a_page(folder: Path, keep: str):
    for file in ("recipe.yaml", "metrics.jsonl"):
        if file != keep:
            (folder / file).unlink()
    sections = parsed(write_page(folder)).sections
    assert ("no record of its training" in sections["curves"]) == (keep == "recipe.yaml")
    assert ("could not be read" in sections["configuration"]) == (keep == "metrics.jsonl")


def test_a_recipe_of_another_version_is_shown_as_it_stands(folder: Path):
    path = folder / "recipe.yaml"
    path.write_text(path.read_text() + "quantum: {spin: 0.5}\n")
    sections = parsed(write_page(folder)).sections
    assert "spin" in sections["configuration"] and "0.5" in sections["configuration"]
    assert "unknown field quantum" in (folder / "report.html").read_text()
    path.write_text("{broken")
    assert "recipe.yaml is not YAML" in write_page(folder).read_text()


def test_a_real_run_has_its_pictures_hardware_and_time(make: Make, photos: Path):
    recipe = make(
        validation={"folder": str(photos), "every": 6, "crop": 64},
        log={"every": 4, "samples_every": 6, "samples": 2},
    )
    train(recipe)
    page = parsed(write_page(recipe.run))
    assert "finished" in page.sections["summary"]
    assert "by the clock" in page.sections["summary"]
    assert "temperature" in page.sections["curves"]
    assert torch.__version__ in page.sections["hardware"]
    images = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(images) == 2 * (2 + 2)


def test_folders_without_a_run_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "file"
    file.write_text("")
    for place, rule in (
        (tmp_path, "holds no run"),
        (tmp_path / "no", "no such folder"),
        (file, "not a folder"),
    ):
        assert run(["report", str(place)]) == 1
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and str(place) in said[0] and rule in said[0]
        with pytest.raises(RunError):
            write_page(place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_the_command_writes_where_it_is_told(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["report", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    other = folder.parent / "page.html"
    assert run(["report", str(folder), "--output", str(other)]) == 0
    assert other.read_text().startswith("<!DOCTYPE html>")
    assert run(["report", str(folder), "--output", str(folder / "metrics.jsonl")]) == 2
    assert run(["report", str(folder), "--output", str(folder / "no" / "page.html")]) == 1
    assert "folder" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.jsonl", "recipe.yaml", "report.html"]


def add_samples(folder: Path, *, steps: list[int], name: str = "a") -> None:
    """Keep pictures of three panels of 24 pixels."""
    for step in steps:
        place = folder / "samples" / f"step-{step:06d}"
        place.mkdir(parents=True)
        generator = torch.Generator().manual_seed(step)
        write_picture(place / f"{name}.png", Picture(torch.rand(3, 16, 72, generator=generator)))
