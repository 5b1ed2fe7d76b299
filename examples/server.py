"""A server that restores images: POST a file to /restore, a PNG comes back; ?width= asks for an exact size.

pip install fastapi gunicorn uvicorn-worker, then
gunicorn --preload -w 2 -k uvicorn_worker.UvicornWorker --chdir examples server:app

The parent loads the model, whose memory the workers share, but restores and reads nothing: libvips' threads
do not survive a fork, and a worker whose parent had used them would be refused its first image.
"""

import os
from typing import Annotated

from fastapi import Body, FastAPI, HTTPException, Response

import hfmoe

MOST_BYTES = 32 * 2**20
RESTORER = hfmoe.load(os.environ.get("MODEL", "nano-x2"), device="cpu")
app = FastAPI()


@app.post("/restore")
def restore(
    content: Annotated[bytes, Body(media_type="application/octet-stream")], width: int | None = None
) -> Response:
    """Restore one image; FastAPI runs this in a thread, so other requests go on."""
    if len(content) > MOST_BYTES:
        raise HTTPException(413, f"{len(content)} bytes are more than {MOST_BYTES}")
    try:
        return Response(hfmoe.restore(content, RESTORER, width=width), media_type="image/png")
    except ValueError as error:  # of the image or the width: the message names the rule
        raise HTTPException(422, str(error)) from error
