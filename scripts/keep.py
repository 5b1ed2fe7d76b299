"""Keep the state of a run in the repository, so that its training can go on another day.

    python scripts/keep.py runs/nano-x2        # writes states/nano-x2/last.ckpt and recipe.yaml

To go on: copy states/NAME to runs/NAME and train with --resume --change; the new places of the photos are
recorded as changes. Keep a state from before the rate falls: one after it has little left to learn.
"""

import argparse
import json
import sys
from pathlib import Path

import yaml
from ship import portable, shortened

from hfmoe.train.checkpoints import load_checkpoint, save_checkpoint

STATES = Path(__file__).parents[1] / "states"


def main() -> None:
    """Write the state without telling of the machine that it comes from."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    state = load_checkpoint(options.run / "last.ckpt")
    recipe = portable(json.loads(state["recipe"]))
    folder = STATES / recipe["name"]
    folder.mkdir(parents=True, exist_ok=True)
    changes = json.dumps(shortened(json.loads(state.get("changes", "[]"))))
    save_checkpoint(folder / "last.ckpt", {**state, "recipe": json.dumps(recipe), "changes": changes})
    text = yaml.safe_dump(recipe, sort_keys=False)
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    sys.stdout.write(f"{folder}: step {state['step']}\n")


if __name__ == "__main__":
    main()
