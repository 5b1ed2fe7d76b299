"""A network as torch runs it when somebody loads it and calls it, in a process that nothing was set in."""

import multiprocessing
import time
from multiprocessing.connection import Connection

import torch
from torch import Tensor

from hfmoe.infer.measure import describe

LOAD, RUN, AGAIN = "load", "run", "again"


class Plain:
    """The process: not folded, NCHW memory, torch's own allocation; only the number of threads is set.

    To be started before this process changes how it allocates, which processes inherit.
    """

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, threads), daemon=True)
        self._process.start()
        assert self._ours.recv() is None

    def __enter__(self) -> "Plain":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()

    def load(self, name: str) -> None:
        """Take a model that ships, a weights file or a preset."""
        self._ask(LOAD, name)

    def run(self, image: Tensor) -> Tensor:
        """Restore an image."""
        return torch.from_numpy(self._ask(RUN, image.contiguous().numpy()))

    def again(self) -> None:
        """Restore the last image, and leave the result there."""
        self._ask(AGAIN, None)

    def clock(self) -> float:
        """Processor time of this process and that one, in seconds (Linux: clock_getcpuclockid)."""
        assert self._process.pid is not None
        return time.process_time() + time.clock_gettime((~self._process.pid << 3) | 2)

    def _ask(self, kind: str, content: object) -> object:
        self._ours.send((kind, content))
        return self._ours.recv()


@torch.inference_mode()
def serve(ours: Connection, threads: int) -> None:
    """Do what is asked until the other end is closed."""
    torch.set_num_threads(threads)
    network, image = torch.nn.Identity(), torch.empty(0)
    ours.send(None)
    while True:
        kind, content = ours.recv()
        answer = None
        if kind == LOAD:
            network = describe(content).network.eval()
        if kind == RUN:
            image = torch.from_numpy(content)
        if kind in (RUN, AGAIN):
            restored = network(image, effort=0.5).image
            answer = restored.numpy() if kind == RUN else None
        ours.send(answer)
