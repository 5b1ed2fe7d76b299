"""The help of the commands."""

import pytest

from hfmoe.cli.app import COMMANDS, flowing, run


def test_paragraphs_run_on_and_headings_names_and_empty_lines_stay():
    text = "Do it.\n\nOne line\nand more.\n\n"
    text += "Parameters\n----------\nname\n    What it\n    is.\nother\n    That."
    assert flowing(text).splitlines() == [
        "Do it.",
        "",
        "One line and more.",
        "",
        "Parameters",
        "----------",
        "name",
        "    What it is.",
        "other",
        "    That.",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]):
    assert run([command, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"Usage: hfmoe {command}" in said
    assert COMMANDS[command].split(":")[0].rstrip(".").split(",")[0][:40] in said
