"""The server of the page."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Base, Default
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from hfmoe.web.limits import MIB, Limits
from hfmoe.web.page import Page
from hfmoe.web.sessions import Sessions

ASSETS = Path(__file__).parent / "assets"
CSS = """
:root { --focus: #1d4ed8; } .dark { --focus: #93c5fd; }
.failed { color: var(--body-text-color); border-left: 4px solid #b91c1c; padding-left: .5rem; }
.bar { display: block; }
.bar progress { display: block; width: 100%; height: 1.25rem; accent-color: var(--focus); }
#state pre { overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
button:focus-visible, input:focus-visible, a:focus-visible, [tabindex]:focus-visible {
  outline: 3px solid var(--focus) !important; outline-offset: 2px; }
input[type=radio]:focus-visible { outline-offset: 3px; }
label:has(input[type=radio]:focus-visible) { outline: 3px solid var(--focus); }
"""
FONTS = ["system-ui", "sans-serif"]
LINK, WARNING, SUBDUED, SUBDUED_DARK = "#1d4ed8", "#b91c1c", "#4b5563", "#d1d5db"
"""Colours with a contrast of 4.5 and more to what they stand on: white, and the last on nearly black."""


class UploadLimit:
    """Refuses uploads once the folder holds what it may; counts what is on its way by what it claims."""

    def __init__(self, app: ASGIApp, *, size: Callable[[], int], most: float) -> None:
        self._app, self._size, self._most = app, size, most
        self._coming = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http" or not scope["path"].rstrip("/").endswith("/upload"):
            await self._app(scope, receive, send)
            return
        claimed = dict(scope["headers"]).get(b"content-length", b"")
        length = int(claimed) if claimed.isdigit() else None
        if length is None:
            await PlainTextResponse("an upload must tell its length", 411)(scope, receive, send)
        elif self._size() + self._coming + length > self._most:
            text = "the disk that this page may use is full; try again later"
            await PlainTextResponse(text, 507)(scope, receive, send)
        else:
            self._coming += length
            try:
                await self._app(scope, receive, send)
            finally:
                self._coming -= length


def _theme() -> Base:
    """Fonts of the system, and colours that can be read."""
    buttons = {"primary": LINK, "cancel": WARNING}
    fills = {
        f"button_{kind}_{part}{mode}": colour
        for kind, colour in buttons.items()
        for part in ("background_fill", "background_fill_hover")
        for mode in ("", "_dark")
    }
    texts = {"body_text_color", "block_info_text_color", "block_label_text_color", "block_title_text_color"}
    subdued = {
        f"{name}{'_subdued' if name == 'body_text_color' else ''}{mode}": colour
        for name in texts
        for mode, colour in (("", SUBDUED), ("_dark", SUBDUED_DARK))
    }
    theme = Default(primary_hue="blue", font=FONTS, font_mono=["ui-monospace", "monospace"])
    return theme.set(**fills, **subdued)


def serve(
    sessions: Sessions,
    limits: Limits,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    device: str = "auto",
    browse: bool = False,
) -> tuple[gr.Blocks, str]:
    """Start the page and return it, to be closed, with its address. Raises OSError where no port is free.

    Nothing is asked of any other machine: fonts are the system's, and the framework's analytics are off.
    """
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(sessions.folder)}
    page = Page(sessions, limits, device=device)
    full = Middleware(UploadLimit, size=sessions.size, most=limits.gigabytes * 1e9)
    options: dict[str, Any] = {"middleware": [full], "docs_url": None, "redoc_url": None, "openapi_url": None}
    _, address, _ = page.blocks.launch(
        server_name=host,
        server_port=port,
        inbrowser=browse,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        show_error=True,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        run_history=False,
        mcp_server=False,
        max_file_size=limits.megabytes * MIB,
        allowed_paths=[str(sessions.folder)],
        app_kwargs=options,
        footer_links=[],
        theme=_theme(),
        css=CSS,
        head=f'<script type="module">{(ASSETS / "before-after.js").read_text()}</script>',
    )
    return page.blocks, address
