"""A picture of a case: the workers that frontends route to, by revision, over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.rollouts.graph import WORKERS

COLOURS = ("tab:gray", "tab:blue", "tab:green")
"""Colours of the revisions, in the order of their declaration."""


def draw(document: dict[str, Any], path: Path, title: str) -> None:
    """Write the picture of a case's stored result (PNG or SVG by the name of ``path``)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    samples = document["samples"]
    end = document["seconds"] or max((at for at, _ in samples), default=0.0)
    times = [*(max(0.0, at) for at, _ in samples), end]
    figure, axes = pyplot.subplots(
        len(WORKERS) + 1, 1, figsize=(11, 7), sharex=True, height_ratios=(2, 2, 1.6)
    )
    *role_axes, event_axes = axes
    for axis, role in zip(role_axes, WORKERS, strict=True):
        base = [0.0] * len(times)
        for number, revision in enumerate(document["revisions"]):
            counts = [float(sides.get(str(number), {}).get(role, 0)) for _, sides in samples]
            counts = [*counts, *counts[-1:]]
            top = [low + high for low, high in zip(base, counts, strict=True)]
            axis.fill_between(
                times, base, top, step="post", color=COLOURS[number % 3], alpha=0.75, label=revision
            )
            base = top
        axis.set_ylabel(f"{role} workers\nrouted to")
        axis.set_ylim(bottom=0)
        axis.yaxis.get_major_locator().set_params(integer=True)
    handles, labels = role_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", fontsize=8)
    for at, streamed, _ in document["failures"]:
        role_axes[0].axvline(at, color="tab:red", linewidth=1, linestyle="-" if streamed else ":")
    shown = [(at, text) for at, text in document["events"] if is_shown(text) and at <= end]
    for row, (at, text) in enumerate(shown):
        event_axes.plot([at], [-row], marker="o", markersize=4, color="tab:blue")
        is_right = at < end / 2
        event_axes.annotate(
            text.removeprefix("daemon: "),
            (at, -row),
            xytext=(5 if is_right else -5, 0),
            textcoords="offset points",
            ha="left" if is_right else "right",
            va="center",
            fontsize=7,
        )
    event_axes.set_yticks([])
    event_axes.set_ylim(-len(shown), 1)
    event_axes.set_xlabel("seconds since the change")
    figure.suptitle(f"{title}: {document['failed']} of {document['sent']} requests failed")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def is_shown(text: str) -> bool:
    """Return whether an event belongs into the picture: the daemon's tags and protections do not.

    The picture shows what was done to the graph, and which services the daemon sized.
    """
    if not text.startswith("daemon: "):
        return True
    operations = ("CreateService", "UpdateService", "DeleteService")
    return text.removeprefix("daemon: ").startswith(operations)
