"""Locks of files, which the system gives back however a process ends."""


def lock(file: int) -> None:
    """Keep an open file from other processes until it is closed, where the system and the disk can.

    Raises BlockingIOError where another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return
