"""Training data inspected before a run: pure measures, rules, and a scan that a bad file never stops."""

from hfmoe.data.inspection.examination import Examined, PairFolders, Sources, inspect
from hfmoe.data.inspection.findings import RULES, SEVERITIES, Finding, Kind, Severity, found
from hfmoe.data.inspection.looks import Look
from hfmoe.data.inspection.report import Inspection, Summary, to_json

__all__ = [
    "RULES",
    "SEVERITIES",
    "Examined",
    "Finding",
    "Inspection",
    "Kind",
    "Look",
    "PairFolders",
    "Severity",
    "Sources",
    "Summary",
    "found",
    "inspect",
    "to_json",
]
