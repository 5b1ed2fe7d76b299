"""The page of a run: everything one wants to see of it in one HTML file that needs nothing else."""

from hfmoe.train.report.page import write_page

__all__ = ["write_page"]
