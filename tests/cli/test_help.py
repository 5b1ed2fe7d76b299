"""The help of the commands."""

from hfmoe.cli.application import flowing


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
