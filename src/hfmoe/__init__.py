"""Image restoration with a frequency-split mixture-of-experts network.

`restore(image, model="nano-x4")` and `load(name_or_path)` are the public API; importing this package imports
neither of the libraries behind them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfmoe.infer.api import load, restore

__all__ = ["__version__", "load", "restore"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in ("load", "restore"):
        from hfmoe.infer import api

        return getattr(api, name)
    raise AttributeError(f"module 'hfmoe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
