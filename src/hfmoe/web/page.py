"""The page: what is on it, and what its buttons do."""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from hfmoe.image.files import READ_SUFFIXES
from hfmoe.web.choices import FORMATS, PROBLEMS, SIZES, Request
from hfmoe.web.limits import Limits, TooMuchError
from hfmoe.web.preview import Preview, make_preview
from hfmoe.web.sessions import Session, Sessions
from hfmoe.web.work import Cancelled, Finished, Refused, TileDone, open_model, plain, restore_photos

TITLE = "Restore photos"
INTRODUCTION = (
    "# Restore photos\nPhotos stay on the computer that this page comes from, and are removed when you leave."
)
SWEEP, OLDEST = 300, 4 * 3600
"""Seconds between looks for uploads of visitors who never asked for anything, and the age they may have."""
Outputs = tuple[Any, ...]


class Page:
    """The page of a server: `blocks` for the web framework, and the functions behind it."""

    def __init__(self, sessions: Sessions, limits: Limits, *, device: str = "auto") -> None:
        self._sessions, self._limits, self._device = sessions, limits, device
        self._finished: dict[str, list[Finished]] = {}
        self.blocks = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(SWEEP, OLDEST))
        with self.blocks:
            self._build()
        self.blocks.queue(max_size=limits.waiting, default_concurrency_limit=1, api_open=False)

    def _build(self) -> None:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column():
                photos = gr.File(
                    label=f"Photos (up to {self._limits.photos}, {self._limits.megabytes} MB each)",
                    file_count="multiple",
                    file_types=list(READ_SUFFIXES),
                    elem_id="photos",
                )
                wishes = self._build_choices()
                with gr.Row():
                    start = gr.Button("Restore", variant="primary", elem_id="restore")
                    cancel = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel")
            with gr.Column():
                state = gr.HTML(status("Choose photos, then press Restore."), elem_id="state")
                results = gr.File(label="Results", interactive=False, visible=False, elem_id="results")
                shown = gr.Dropdown(label="Show", visible=False, elem_id="shown")
        picture = gr.HTML("", elem_id="picture")
        outputs: list[Any] = [state, results, shown, picture, start, cancel]
        hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        photos.upload(self.note, photos, None, queue=False, **hidden)
        waiting = start.click(self.prepare, None, outputs, queue=False, **hidden)
        running = waiting.then(self.restore, [photos, *wishes], outputs, concurrency_id="restore", **hidden)
        cancel.click(self.cancel, None, state, queue=False, **hidden)
        running.then(self.show, shown, picture, **hidden)
        shown.input(self.show, shown, picture, **hidden)
        self.blocks.unload(self.leave)

    def _build_choices(self) -> list[Any]:
        first = next(iter(PROBLEMS))
        problem = gr.Radio(list(PROBLEMS), value=first, label="What is wrong with them?", elem_id="problem")
        scale = gr.Radio(_sizes(first), value=_first(first), label="Size", elem_id="size")
        strength = gr.Slider(
            0,
            1,
            value=1,
            step=0.05,
            label="Strength",
            info="1 takes all restored detail, 0 keeps the photo's own",
            elem_id="strength",
        )
        form = gr.Radio(list(FORMATS), value="PNG", label="Save as", elem_id="format")
        problem.change(
            lambda name: gr.Radio(_sizes(name), value=_first(name)),
            problem,
            scale,
            queue=False,
            api_visibility="private",
            show_progress="hidden",
        )
        return [problem, scale, strength, form]

    def note(self, photos: list[str] | None, request: gr.Request) -> None:
        """Remember whose uploads these are, so that they go when the visitor does."""
        self._sessions.note(str(request.session_hash), map(Path, photos or ()))

    def prepare(self, request: gr.Request) -> Outputs:
        """Announce a request, which may have to wait for those of others."""
        self._sessions.session(str(request.session_hash)).prepare()
        return _running(status("Waiting ..."))

    def restore(
        self,
        photos: list[str] | None,
        problem: str,
        scale: int,
        strength: float,
        form: str,
        request: gr.Request,
    ) -> Iterator[Outputs]:
        """Restore photos and yield what the page shows meanwhile."""
        visitor = str(request.session_hash)
        session = self._sessions.session(visitor)
        folder = session.begin()
        try:
            self._limits.check_count(len(photos or ()))
            paths = self._sessions.checked(map(Path, photos or ()))
            self._sessions.note(visitor, paths)
            wish = Request(problem, scale, strength, form)
            yield from self._restore(paths, folder, wish, session, visitor)
        except (TooMuchError, ValueError, OSError) as error:
            yield _ended(status(str(error), failed=True))
        except Cancelled:
            yield _ended(status("Cancelled."))
        finally:
            session.end()

    def _restore(
        self, paths: list[Path], folder: Path, wish: Request, session: Session, visitor: str
    ) -> Iterator[Outputs]:
        done: list[Finished] = []
        refused: list[Refused] = []
        self._finished.pop(visitor, None)
        yield _running(status("Preparing ..."))
        events = restore_photos(
            paths, folder, wish, limits=self._limits, stop=session.stop, device=self._device
        )
        for event in events:
            if isinstance(event, TileDone):
                yield _running(bar(event) if not session.stop.is_set() else status("Stopping ..."))
            else:
                (done if isinstance(event, Finished) else refused).append(event)  # pyright: ignore[reportArgumentType]
        self._finished[visitor] = done
        names = [finished.result.name for finished in done]
        restorer = open_model(wish.model, self._device)
        command = wish.command(restorer, [finished.source.name for finished in done]) if done else ""
        choices = [(name, number) for number, name in enumerate(names)]
        yield (
            summary(done, refused, command),
            gr.File([str(finished.result) for finished in done], visible=bool(done)),
            gr.Dropdown(choices, value=0 if done else None, visible=len(done) > 1),
            "",
            gr.Button(interactive=True),
            gr.Button(interactive=False),
        )

    def cancel(self, request: gr.Request) -> str:
        """Stop what is worked on or waits; it ends when the network is done with the tile it has."""
        self._sessions.session(str(request.session_hash)).stop.set()
        return status("Stopping ...")

    def show(self, number: int | None, request: gr.Request) -> str:
        """Return the slider between a photo and its result."""
        visitor = str(request.session_hash)
        finished = self._finished.get(visitor, [])
        if number is None or not 0 <= number < len(finished):
            return ""
        source, result, scale = finished[number]
        try:
            return slider(make_preview(source, result, result.parent / "preview", scale=scale))
        except (ValueError, OSError, MemoryError) as error:
            return status(f"No preview: {plain(error, source, result)}", failed=True)

    def leave(self, request: gr.Request) -> None:
        """Stop and remove what a visitor left."""
        visitor = str(request.session_hash)
        self._finished.pop(visitor, None)
        self._sessions.leave(visitor)


def _sizes(problem: str) -> list[tuple[str, int]]:
    return [(SIZES[scale], scale) for scale in PROBLEMS[problem]]


def _first(problem: str) -> int:
    return next(iter(PROBLEMS[problem]))


def _running(state: str) -> Outputs:
    unseen = (gr.File(visible=False), gr.Dropdown(visible=False), "")
    return state, *unseen, gr.Button(interactive=False), gr.Button(interactive=True)


def _ended(state: str) -> Outputs:
    return state, gr.skip(), gr.skip(), gr.skip(), gr.Button(interactive=True), gr.Button(interactive=False)


def status(text: str, *, failed: bool = False) -> str:
    """Return a line that screen readers announce."""
    kind = ' class="failed"' if failed else ""
    return f'<p role="{"alert" if failed else "status"}"{kind}>{html.escape(text)}</p>'


def bar(event: TileDone) -> str:
    """Return a progress bar: of all photos, of which the present one is done in part."""
    share = (event.number - 1 + event.share) / event.count
    of = "" if event.count == 1 else f" ({event.number} of {event.count})"
    text = f"Restoring {html.escape(event.name)}{of}"
    value = f'max="1" value="{share:.4f}"'
    return f'<label class="bar">{text}<progress {value}>{share:.0%}</progress></label>'


def summary(done: list[Finished], refused: list[Refused], command: str) -> str:
    """Return what became of the photos, and the command that does the same."""
    lines = [status(f"{len(done)} of {len(done) + len(refused)} photos restored.")] if done else []
    lines += [status(one.reason, failed=True) for one in refused]
    if command:
        code = f"<pre tabindex='0'><code>{html.escape(command)}</code></pre>"
        lines.append(f"<p>The same by command:</p>{code}")
    return "".join(lines)


def slider(preview: Preview) -> str:
    """Return the element that lays result over photo."""
    part = ", the middle of it" if preview.is_part else ""
    images = "".join(
        f'<img slot="{name}" alt="{alt}" src="/gradio_api/file={quote(str(path))}">'
        for name, alt, path in (
            ("before", "Before", preview.before),
            ("after", "After", preview.after),
        )
    )
    size = f"<p>{preview.width} x {preview.height} pixels{part}, at 100 %.</p>"
    return f"{size}<before-after>{images}</before-after>"
