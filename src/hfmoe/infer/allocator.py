"""The former place of `reuse_memory`; what is imported from here keeps working."""

from hfmoe.runtime.memory import reuse_memory

__all__ = ["reuse_memory"]
