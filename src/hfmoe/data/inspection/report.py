"""The report of an inspection, from which the screen and the JSON file are both made."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfmoe.data.inspection.findings import SEVERITIES, Finding, Severity
from hfmoe.data.inspection.looks import Look


@dataclass(frozen=True)
class Summary:
    """What the readable images are: how many, megapixels, smallest and largest side, and counts of sorts."""

    images: int
    megapixels: float
    smallest_side: int
    largest_side: int
    formats: dict[str, int]
    depths: dict[str, int]
    channels: dict[str, int]

    @classmethod
    def of(cls, looks: Sequence[Look]) -> "Summary":
        """Sum up looks; all is 0 where there are none."""
        facts = [look.facts for look in looks]
        sides = [side for fact in facts for side in (fact.height, fact.width)]
        return cls(
            images=len(facts),
            megapixels=round(sum(fact.height * fact.width for fact in facts) / 1e6, 3),
            smallest_side=min(sides, default=0),
            largest_side=max(sides, default=0),
            formats=dict(Counter(fact.format for fact in facts)),
            depths=dict(Counter(str(fact.bits) for fact in facts)),
            channels=dict(Counter(str(fact.channels) for fact in facts)),
        )


@dataclass(frozen=True)
class Inspection:
    """Folders, what their images are, and all findings; `looked_at` below `files` when it was stopped."""

    folders: tuple[str, ...]
    files: int
    looked_at: int
    summary: Summary
    findings: tuple[Finding, ...]

    def of_severity(self, severity: Severity) -> list[Finding]:
        """Give the findings of one severity, in their order."""
        return [finding for finding in self.findings if finding.severity == severity]

    def as_data(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return {
            "folders": list(self.folders),
            "files": self.files,
            "looked_at": self.looked_at,
            "complete": self.looked_at == self.files,
            "summary": vars(self.summary),
            "counts": {severity: len(self.of_severity(severity)) for severity in SEVERITIES},
            "findings": [finding.as_data() for finding in self.findings],
        }


def to_json(data: dict[str, Any]) -> str:
    """Write plain values as indented JSON, without NaN."""
    return json.dumps(data, indent=2, allow_nan=False)
