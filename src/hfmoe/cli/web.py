"""`hfmoe web`: the page, on this machine."""

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hfmoe.cli.errors import UsageError
from hfmoe.web.limits import Limits
from hfmoe.web.static import open_static


def web(
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browse: Annotated[bool, Parameter(name="--open")] = False,
    device: str = "auto",
    static: Path | None = None,
    limits: Annotated[Limits, Parameter(name="*")] = Limits(),  # noqa: B008 (frozen)
) -> None:
    """Show a page that restores photos, for the browsers of this machine, until Ctrl-C.

    Parameters
    ----------
    host
        The address it is bound to; 0.0.0.0 lets other machines of the network in. Nobody is asked for a
        password.
    port
        By default the first free one from 7860 on.
    open
        Open it in a browser, too.
    device
        auto, cpu, cuda, cuda:N or mps.
    static
        Serve this folder of static files instead, with the headers that WebAssembly needs for threads.
    """
    if port is not None and not 0 <= port < 65536:
        raise UsageError(f"--port {port} must be in [0, 65535]")
    stopped = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
    if static is not None:
        with open_static(static, host=host, port=port) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            _wait(f"http://{host}:{server.server_address[1]}/", stopped)
            server.shutdown()
        return
    from hfmoe.web.server import serve
    from hfmoe.web.sessions import Sessions

    with Sessions() as sessions:
        page, address = serve(sessions, limits, host=host, port=port, device=device, browse=browse)
        try:
            _wait(address, stopped)
        finally:
            page.close(verbose=False)


def _wait(address: str, stopped: threading.Event) -> None:
    sys.stdout.write(f"{address}  (Ctrl-C ends it)\n")
    sys.stdout.flush()
    while not stopped.wait(0.5):
        pass
