"""Image restoration with a frequency-split mixture-of-experts network.

`restore(image, model="nano-x4")`, `restore_files(inputs, output)` and `load(name_or_path)` are the public
API; importing this package imports none of the libraries behind it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfmoe.batch.dispatch import restore_files
    from hfmoe.infer.api import load, restore

__all__ = ["__version__", "load", "restore", "restore_files"]
__version__ = "0.1.0"

_HOMES = {"load": "hfmoe.infer.api", "restore": "hfmoe.infer.api", "restore_files": "hfmoe.batch.dispatch"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hfmoe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
