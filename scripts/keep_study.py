"""Keep the results of a study in the repository: docs/studies/NAME, its tables, pictures and JSON.

    python scripts/keep_study.py runs/peers-nano

Paths are shortened, so that they tell nothing of the machine. Run `hfmoe ablate STUDY --measure` on a quiet
machine and the study once more before, so that its costs are good.
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

STUDIES = Path(__file__).parents[1] / "docs/studies"
PICTURES = ("differences.svg", "score-latency.svg", "curves.svg")
PATH = re.compile(r"(?<![\w.])(?:/[\w.\-]+)+")


def main() -> None:
    """Copy what a reader wants to see."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    run: Path = parser.parse_args().run
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    table = (run / "results.md").read_text(encoding="utf-8")
    missing = [row["variant"] for row in results["variants"] if f"| {row['variant']} |" not in table]
    if missing:
        parser.error(f"{run}: results.md has no {missing[0]} yet; wait for the end")
    folder = STUDIES / results["study"]["name"]
    folder.mkdir(parents=True, exist_ok=True)
    text = short_paths(json.dumps(results, indent=1)) + "\n"
    (folder / "results.json").write_text(text, encoding="utf-8")
    kept = [line for line in short_paths(table).split("\n\n") if not dropped(line)]
    (folder / "README.md").write_text("\n\n".join(kept), encoding="utf-8")
    for name in PICTURES:
        shutil.copy(run / name, folder / name)
    sys.stdout.write(f"{folder}\n")


def short_paths(text: str) -> str:
    """The text with each absolute path in it by its last two names."""
    return PATH.sub(lambda found: "/".join(Path(found[0]).parts[-2:]), text)


def dropped(paragraph: str) -> bool:
    """Whether a paragraph shows a picture that is not kept."""
    return paragraph.startswith("![") and not any(name in paragraph for name in PICTURES)


if __name__ == "__main__":
    main()
