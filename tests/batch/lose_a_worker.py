"""Runs two jobs on a local Ray of two workers, and kills one of the workers while the first job is at it.

    python lose_a_worker.py FOLDER OUTPUT WEIGHTS

Prints the killed process and how many results there were then; after the job its exit status; then what a
job from one address of this process to another made.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import fsspec
import ray

from hfmoe.batch.cluster import Cluster, connected
from hfmoe.batch.dispatch import restore_on_ray
from hfmoe.cli.app import run


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


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
        files = fsspec.filesystem("memory")
        files.pipe_file("/photos/a.png", (Path(folder) / "0.png").read_bytes())
        files.pipe_file("/photos/sub/bad.png", b"no image")
        summary = restore_on_ray("memory://photos", "memory://large", model=weights)
        say(f"store {files.find('/large')} {[lost.reason for lost in summary.failed]}")
        assert ray.is_initialized()


if __name__ == "__main__":
    main(*sys.argv[1:])
