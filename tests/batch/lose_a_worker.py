"""Runs a job on a local Ray of two workers and kills one of them on the way.

    python lose_a_worker.py FOLDER OUTPUT WEIGHTS

Prints how many results there were then, and after the job its exit status. Then runs the example of
docs/cluster.md in FOLDER.
"""

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

from hfmoe.batch.cluster import Cluster, connected
from hfmoe.cli.app import run

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
SCREEN = sys.stdout


def say(line: str) -> None:
    """A line on stdout itself, which is stderr for others while the command runs."""
    SCREEN.write(f"{line}\n")
    SCREEN.flush()


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def is_ours(process: int) -> bool:
    while process > 1:
        if process == os.getpid():
            return True
        process = parent(process)
    return False


def workers() -> list[int]:
    """Our own processes that restore."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes()
            if command.startswith(b"ray::MapWorker") and is_ours(int(place.name)):
                found.append(int(place.name))
        except (OSError, ProcessLookupError):
            continue
    return sorted(found)


def kill_one(output: Path) -> None:
    while not (done := list(output.rglob("[!.]*.png"))) or len(workers()) < 2:
        time.sleep(0.01)
    victim = workers()[0]
    os.kill(victim, signal.SIGKILL)
    say(f"killed after {len(done)} results")


def main(folder: str, output: str, weights: str) -> None:
    with connected(Cluster(workers=2)):
        threading.Thread(target=kill_one, args=(Path(output),), daemon=True).start()
        options = ["--output", output, "--model", weights, "--engine", "ray", "--workers", "2"]
        say(f"status {run(['restore', folder, *options])}")
        os.chdir(folder)
        (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
        exec(compile(example, str(PAGE), "exec"), {})
        say("the example ran")


if __name__ == "__main__":
    main(*sys.argv[1:])
