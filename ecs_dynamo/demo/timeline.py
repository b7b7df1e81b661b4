"""A picture of the demonstration: requests, replicas and steps over one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecs_dynamo.demo.traffic import Request


@dataclass(frozen=True, slots=True)
class Sample:
    """The status at one moment; ``at`` is in monotonic seconds."""

    at: float
    queued: float
    desired: int
    ready: int


@dataclass(slots=True)
class Step:
    """One step of the demonstration and its measurements. ``started`` is in monotonic seconds."""

    name: str
    started: float
    seconds: float = 0.0
    sent: int = 0
    failed: int = 0
    detail: str = ""
    ok: bool = True


@dataclass(slots=True)
class Timeline:
    """All measurements of the demonstration. ``started`` is in monotonic seconds."""

    started: float
    steps: list[Step] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def draw(self, requests: Sequence[Request], path: Path) -> None:
        """Write the picture (PNG or SVG by the name of ``path``)."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, (top, middle, bottom) = pyplot.subplots(
            3, 1, figsize=(12, 7.5), sharex=True, height_ratios=(2, 2, 1.4)
        )
        at = [s.at - self.started for s in self.samples]
        top.step(at, [s.desired for s in self.samples], where="post", label="prefill desired")
        top.step(at, [s.ready for s in self.samples], where="post", label="prefill ready")
        top.set_ylabel("replicas")
        top.set_ylim(bottom=0)
        right = top.twinx()
        right.plot(at, [s.queued for s in self.samples], color="tab:gray", label="prefill queue")
        right.set_ylabel("queued requests")
        right.set_ylim(bottom=0)
        lines = [*top.get_lines(), *right.get_lines()]
        top.legend(lines, [str(line.get_label()) for line in lines], loc="upper right", fontsize=8)
        for label, colour, selected in (
            ("served", "tab:green", [r for r in requests if r.error is None]),
            ("failed", "tab:red", [r for r in requests if r.error is not None]),
        ):
            middle.scatter(
                [r.started - self.started for r in selected],
                [r.seconds for r in selected],
                s=7,
                color=colour,
                label=f"{label} ({len(selected)})",
            )
        middle.set_ylabel("request seconds")
        if requests:
            middle.set_yscale("log")
        middle.legend(loc="upper right", fontsize=8)
        end = max((s.started + s.seconds for s in self.steps), default=self.started) - self.started
        for row, step in enumerate(self.steps):
            begins = step.started - self.started
            # A label needs space: it stands to the right of bars in the first half.
            is_right = begins + step.seconds < end / 2
            bottom.barh(
                -row,
                step.seconds,
                left=begins,
                color="tab:blue" if step.ok else "tab:red",
            )
            bottom.annotate(
                step.name,
                (begins + step.seconds if is_right else begins, -row),
                xytext=(4 if is_right else -4, 0),
                textcoords="offset points",
                ha="left" if is_right else "right",
                va="center",
                fontsize=8,
            )
        bottom.set_yticks([])
        bottom.set_xlabel("seconds since start")
        figure.suptitle("ecs-dynamo: one Dynamo graph on the local ECS")
        figure.tight_layout()
        figure.savefig(path, dpi=110)
        pyplot.close(figure)
