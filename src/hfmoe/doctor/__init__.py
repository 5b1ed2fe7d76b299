"""Inspection of training data before a run: measures, findings, report; a bad file never stops it."""

from hfmoe.doctor.findings import RULES, SEVERITIES, Finding, Kind, Severity, found
from hfmoe.doctor.images import ImageMeasures
from hfmoe.doctor.inspection import Inspection, Sources, Summary, inspect, to_json

__all__ = [
    "RULES",
    "SEVERITIES",
    "Finding",
    "ImageMeasures",
    "Inspection",
    "Kind",
    "ImageMeasures",
    "Severity",
    "Sources",
    "Summary",
    "found",
    "inspect",
    "to_json",
]
