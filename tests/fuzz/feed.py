"""Runs the restore command on a folder, in a process that ends when one file takes too long.

`python feed.py FOLDER OUTPUT WEIGHTS LOG SECONDS` writes the name of each file to LOG when it is begun.
"""

import faulthandler
import resource
import sys
from pathlib import Path

from hfmoe.batch.planning import Job
from hfmoe.batch.work import OpenedPicture, PictureWork
from hfmoe.cli.app import run


def feed(folder: str, output: str, weights: str, log: str, seconds: str) -> int:
    read = PictureWork.read
    with Path(log).open("w") as begun:

        def timed(self: PictureWork, job: Job) -> OpenedPicture:
            faulthandler.dump_traceback_later(float(seconds), exit=True)
            begun.write(f"{Path(job.source).name!r}\n")
            begun.flush()
            return read(self, job)

        PictureWork.read = timed
        status = run(["restore", folder, "--output", output, "--model", weights, "--device", "cpu"])
        begun.write(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\n")
    return status


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(feed(*sys.argv[1:]))
