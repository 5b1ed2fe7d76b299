"""What Windows and macOS need of the code, as far as Linux can tell."""

import ast
from pathlib import Path

import hfmoe

SOURCES = sorted(Path(hfmoe.__file__).parent.rglob("*.py"))
UNIX = {"fcntl", "grp", "pwd", "resource", "termios", "tty"}


def imported(path: Path) -> set[str]:
    """Modules that a file needs to be imported at all."""
    body = ast.parse(path.read_text("utf-8")).body
    plain = {name.name for node in body if isinstance(node, ast.Import) for name in node.names}
    return plain | {str(node.module) for node in body if isinstance(node, ast.ImportFrom)}


def test_no_module_needs_what_unix_alone_has():
    needy = {path.name: imported(path) & UNIX for path in SOURCES}
    assert {name: needs for name, needs in needy.items() if needs} == {}
