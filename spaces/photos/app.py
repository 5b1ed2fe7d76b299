"""The page of `hfmoe web` as a Space: all visitors share one small machine, so the limits are tight."""

import threading

from hfmoe.web.limits import Limits
from hfmoe.web.server import serve
from hfmoe.web.sessions import Sessions

LIMITS = Limits(photos=5, megabytes=20, megapixels=24, waiting=20, gigabytes=2)

if __name__ == "__main__":
    with Sessions() as sessions:
        serve(sessions, LIMITS, host="0.0.0.0", port=7860)
        threading.Event().wait()
