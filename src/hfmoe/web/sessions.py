"""The page's files: uploads and results of each visitor, gone when the visitor or the server is."""

import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from hfmoe.runtime.files import lock

PREFIX = "hfmoe-web-"
LOCK = ".lock"
UNFINISHED = "tmp*"
"""Files that the web framework begins uploads as, and leaves empty ones of."""
PATIENCE = 60.0
"""Seconds after which one that was not written to counts as left."""


@dataclass
class Session:
    """Files of one visitor, and the request that is worked on; stop ends that."""

    folder: Path
    uploads: set[Path] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)
    idle: threading.Event = field(default_factory=threading.Event)
    left: bool = False

    def __post_init__(self) -> None:
        self.idle.set()

    def prepare(self) -> None:
        """Announce a request: from now on `stop` is its own."""
        self.stop = threading.Event()

    def begin(self) -> Path:
        """Start a request once the one before has ended: return an empty folder for its results."""
        self.idle.wait()
        self.idle.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        place = self.folder / secrets.token_hex(8)
        place.mkdir(parents=True, mode=0o700)
        return place

    def end(self) -> None:
        """End a request; if the visitor has left meanwhile, its results are removed."""
        self.idle.set()
        if self.left:
            shutil.rmtree(self.folder, ignore_errors=True)


class Sessions:
    """The sessions of all visitors in one folder, removed at the end; those of killed servers, at the start.

    The folder is that which the web framework puts uploads into; a visitor's are known from when they are
    noted. An upload of the same bytes and name is one file for all.
    """

    def __init__(self, parent: Path | None = None) -> None:
        home = Path(parent or tempfile.gettempdir())
        remove_abandoned(home)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home)).resolve()
        self._held = (self.folder / LOCK).open("w")
        lock(self._held.fileno())
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._sweep, name="sweep", daemon=True).start()

    def __enter__(self) -> "Sessions":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def session(self, visitor: str) -> Session:
        """Return the session of a visitor, made at the first call."""
        with self._lock:
            if visitor not in self._sessions:
                self._sessions[visitor] = Session(self.folder / f"results-{secrets.token_hex(16)}")
            return self._sessions[visitor]

    def note(self, visitor: str, uploads: Iterable[Path]) -> None:
        """Remember whose uploads these are."""
        self.session(visitor).uploads.update(self.checked(uploads))

    def checked(self, uploads: Iterable[Path]) -> list[Path]:
        """Return the paths of uploads. Raises ValueError for any that is not a file of the folder."""
        paths = [Path(upload).resolve() for upload in uploads]
        for path in paths:
            if not path.is_relative_to(self.folder) or not path.is_file():
                raise ValueError(f"{path.name} is no upload of this page any more; choose it again")
        return paths

    def leave(self, visitor: str, *, patience: float = 60) -> None:
        """Stop what is done for a visitor and remove the files that no other one has."""
        with self._lock:
            session = self._sessions.pop(visitor, None)
        if session is None:
            return
        session.left = True
        session.stop.set()
        session.idle.wait(patience)
        shutil.rmtree(session.folder, ignore_errors=True)
        with self._lock:
            shared = {path for other in self._sessions.values() for path in other.uploads}
        for path in session.uploads - shared:
            with suppress(OSError):
                path.unlink()
                path.parent.rmdir()

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(_size(path) for path in self.folder.rglob("*"))

    def _sweep(self) -> None:
        while not self._closed.wait(PATIENCE):
            remove_unfinished_uploads(self.folder)

    def close(self) -> None:
        """End all work and remove the folder."""
        self._closed.set()
        with self._lock:
            sessions = list(self._sessions.values())
            self._sessions.clear()
        for session in sessions:
            session.left = True
            session.stop.set()
        for session in sessions:
            session.idle.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._held.close()


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size if path.is_file() else 0
    return 0


def remove_unfinished_uploads(folder: Path, *, patience: float = PATIENCE) -> None:
    """Remove what the web framework left of uploads: files that nobody wrote to for a while."""
    for path in folder.glob(UNFINISHED):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > patience:
                path.unlink()


def remove_abandoned(home: Path) -> None:
    """Remove the folders whose servers were killed: nobody holds their locks."""
    for folder in home.glob(f"{PREFIX}*"):
        with suppress(OSError), (folder / LOCK).open("r+") as file:
            lock(file.fileno())
            shutil.rmtree(folder, ignore_errors=True)
