"""A server of a folder of static files, with the headers that WebAssembly needs for threads."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
FIRST, PORTS = 7860, 100


class _Handler(SimpleHTTPRequestHandler):
    """Files of a folder with HEADERS; folders are not listed."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".onnx": "application/octet-stream",
    }

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: object) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        pass


def open_static(folder: Path, *, host: str = "127.0.0.1", port: int | None = None) -> ThreadingHTTPServer:
    """Return a server of a built site, to be run; without a port the first free one from 7860 on.

    Raises ValueError for a folder without an index.html, OSError where no port is free.
    """
    if not (folder / "index.html").is_file():
        raise ValueError(f"{folder} holds no index.html to begin with")
    handler = partial(_Handler, directory=str(folder))
    for candidate in range(FIRST, FIRST + PORTS) if port is None else (port,):
        try:
            return ThreadingHTTPServer((host, candidate), handler)
        except OSError:
            if port is not None or candidate == FIRST + PORTS - 1:
                raise
    raise AssertionError
