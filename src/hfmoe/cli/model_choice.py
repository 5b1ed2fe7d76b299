"""Which model a picture is restored by: the one that is named, or one by scale or by size."""

from dataclasses import dataclass, field

from hfmoe.batch.dispatch import by_scale
from hfmoe.batch.planning import Job
from hfmoe.batch.settings import Settings
from hfmoe.cli.export_cache import choose_model, open_model
from hfmoe.infer.restorer import Restorer


@dataclass(frozen=True)
class ModelChoice:
    """Choice of the model of a picture: a name, a scale, or the size that its result is to have."""

    model: str | None
    settings: Settings
    backend: str
    device: str
    sharpness: float | None = None
    opened: dict[tuple[str, float | None], Restorer] = field(default_factory=dict)

    @property
    def by_size(self) -> bool:
        """True where the model differs by picture."""
        return self.model is None and self.settings.choose_model

    def name(self, scale: int | None = None) -> str:
        """Name or file of the model; scale: of a picture's. Raises UsageError."""
        return choose_model(
            self.model,
            scale=scale or self.settings.scale,
            backend=self.backend,
            sharpness=self.sharpness,
        )

    def open(self, scale: int | None = None) -> Restorer:
        """Load the model. Raises UsageError."""
        wanted = scale or self.settings.scale
        name = self.name(scale)
        if (name, wanted) not in self.opened:
            self.opened[name, wanted] = open_model(name, scale=wanted, device=self.device)
        return self.opened[name, wanted]

    def groups(self, jobs: list[Job]) -> dict[int | None, list[Job]]:
        """The jobs by the scale of their model, None for the one of all."""
        return {**by_scale(jobs, self.settings)} if self.by_size else {None: jobs}
