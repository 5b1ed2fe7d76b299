"""The application that every command registers with."""

from cyclopts import App

from hfmoe import __version__

app = App(
    name="hfmoe",
    help="Restore and upscale images, and train the networks that do it.",
    version=__version__,
    result_action="return_value",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
