"""`ecs-dynamo simulate`: replay a trace of requests against scaling policies."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecs_dynamo.cli.extras import require_simulate_extra
from ecs_dynamo.cli.options import JsonOption, load_graph_file
from ecs_dynamo.console import print_json, print_table, say
from ecs_dynamo.model.errors import InputError, Problem
from ecs_dynamo.model.spec.scaling import ScalingSpec

if TYPE_CHECKING:
    from ecs_dynamo.simulate.compare import Setting
    from ecs_dynamo.simulate.run import Result
    from ecs_dynamo.simulate.traces.trace import Trace

GENERATED = (
    "growing-prompts",
    "code-assistant",
    "flash-crowds",
    "launch-day",
    "batch-jobs",
    "recurring-bursts",
    "day",
    "bursty",
    "business-weeks",
    "month",
)
"""Names of generated traces, written here because the generators need an optional extra."""
INSTANCES = ("g6.xlarge", "g6.12xlarge", "p5.48xlarge")


def _load_trace(name: str, seed: int) -> Trace:
    """Load a file, or generate a trace with this name if there is no such file."""
    from ecs_dynamo.simulate.traces.families import GENERATORS
    from ecs_dynamo.simulate.traces.reading import load_trace

    path = Path(name)
    if name in GENERATORS and not path.exists():
        return GENERATORS[name](seed)
    return load_trace(path)


def _check_options(low: int, high: int, plot: Path | None, instance: str, dispatch: str) -> None:
    """Raise InputError for options that contradict each other or are not supported."""
    if low > high:
        raise InputError(
            Problem(f"--min {low} is above --max {high}", field="--min", remedy="lower it")
        )
    for name, value, known in (
        ("--instance", instance, INSTANCES),
        ("--dispatch", dispatch, ("push", "pull")),
    ):
        if value not in known:
            raise InputError(
                Problem(
                    f"{value} is not known", field=name, remedy=f"write one of {', '.join(known)}"
                )
            )
    if plot is not None and plot.suffix.lower() not in (".png", ".svg"):
        raise InputError(
            Problem(
                f"{plot} is not a PNG or SVG file",
                field="--plot",
                remedy="end the name in .png or .svg",
            )
        )


def _scaling(file: Path, component: str | None) -> ScalingSpec:
    """Return the scaling of a component, by default that of the only one that has any."""
    scaling = {c.name: c.scaling for c in load_graph_file(file).graph.components if c.scaling}
    if component is None and len(scaling) == 1:
        return next(iter(scaling.values()))
    if component is None or component not in scaling:
        if not scaling:
            message, remedy = "no component has scaling", "add scaling to a component"
        else:
            message = f"component {component} has no scaling" if component else "no component named"
            remedy = f"name one of {', '.join(scaling)}"
        raise InputError(Problem(message, file=str(file), field="--component", remedy=remedy))
    return scaling[component]


def _runs(setting: Setting, policies: list[str], own: ScalingSpec | None) -> Iterator[Result]:
    from ecs_dynamo.simulate import compare
    from ecs_dynamo.simulate.optimum.clairvoyant import clairvoyant
    from ecs_dynamo.simulate.optimum.fixed import cheapest_fixed
    from ecs_dynamo.simulate.peers.registry import PEERS

    for name in policies:
        if name == "file" and own is not None:
            yield compare.run_policy(setting, own, f"file ({own.policy_name})")
        elif name in compare.PRODUCTION_POLICIES:
            yield compare.run_policy(setting, compare.default_spec(setting, name, latencies=True))
        elif name == "clairvoyant":
            yield clairvoyant(setting)
        elif name == "fixed":
            yield cheapest_fixed(setting)
        else:
            peer = PEERS[name]
            yield compare.run_peer(setting, name, peer, peer.prefill[0], peer.decode[0])


def _resolve_policies(requested: list[str], file: Path | None) -> list[str]:
    """Return the names of the policies to run, each once. Raises InputError for unknown ones."""
    from ecs_dynamo.simulate import compare
    from ecs_dynamo.simulate.peers.registry import PEERS

    known = [*compare.PRODUCTION_POLICIES, *PEERS, "fixed", "clairvoyant"]
    names = requested or ["slo"]
    if file is not None:
        names = ["file", *(name for name in requested if name != "file")]
    if "all" in names:
        names = [*(["file"] if file else []), *known]
    for name in names:
        if name not in known and not (name == "file" and file):
            raise InputError(
                Problem(
                    f"there is no policy {name}",
                    field="--policy",
                    remedy=f"write one of {', '.join(known)}, or all",
                )
            )
    return list(dict.fromkeys(names))


def _recommend(
    setting: Setting, goal: float, own: ScalingSpec | None, *, as_json: bool, plot: Path | None
) -> None:
    """Try many settings, and print the cheapest that attains the goal."""
    from ecs_dynamo.simulate.compare import default_spec
    from ecs_dynamo.simulate.recommend import as_yaml, candidates, frontier, recommend
    from ecs_dynamo.simulate.report import HEADINGS, plot_frontier, row

    tried = []
    for candidate in candidates(setting, own or default_spec(setting, "slo", latencies=True)):
        tried.append(candidate)
        if sys.stderr.isatty():
            say(f"tried {len(tried)}: {candidate.result.policy}", style="dim", stderr=True)
    best, front = recommend(tried, goal), frontier(tried)
    if plot is not None:
        title = f"{setting.trace.name}: cost and latency, target {setting.target:g} s"
        plot_frontier([c.result for c in tried], plot, title)
    if as_json:
        print_json(
            {
                "recommended": best.spec.model_dump(mode="json", by_alias=True),
                "result": _document(best.result),
                "frontier": [_document(c.result) for c in front],
            }
        )
        return
    rows = (row(c.result) for c in front)
    print_table("Cost and latency: the settings that no other setting beats", HEADINGS, rows)
    say()
    met = best.result.attainment >= goal
    say(
        f"{'Cheapest that attains' if met else 'None attains it; the nearest to'} "
        f"{100 * goal:g} %:",
        style="green" if met else "yellow",
    )
    say(as_yaml(best.spec))


def _document(result: Result) -> dict[str, object]:
    values = dataclasses.asdict(result)
    del values["history"]
    return values


def simulate(
    trace: Annotated[
        str,
        typer.Argument(
            help="CSV file with arrival_s,prompt_tokens,output_tokens or recorded by the daemon "
            f"(may be gzipped), or the name of a generated trace: {', '.join(GENERATED)}."
        ),
    ] = "day",
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            "-p",
            help="slo, queue, a peer, fixed (the cheapest fixed fleet), clairvoyant (knows the "
            "trace), or all (may be repeated).",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Graph file whose scaling is simulated too."),
    ] = None,
    component: Annotated[
        str | None, typer.Option("--component", help="Component of the graph file.")
    ] = None,
    target: Annotated[
        float, typer.Option("--target", min=0.01, help="Target for the queue time, in seconds.")
    ] = 2.0,
    target_ttft: Annotated[
        float | None,
        typer.Option("--target-ttft", min=0.01, help="Target for the TTFT, in seconds."),
    ] = None,
    target_itl: Annotated[
        float | None,
        typer.Option(
            "--target-itl", min=0.0001, help="Target for the inter-token latency, in seconds."
        ),
    ] = None,
    goal: Annotated[
        float,
        typer.Option(
            "--goal", min=0.01, max=0.9999, help="Share of requests that should meet the target."
        ),
    ] = 0.99,
    scale: Annotated[int, typer.Option("--scale", min=1, help="Factor for the load.")] = 1,
    low: Annotated[int, typer.Option("--min", min=0, help="Minimum replicas per pool.")] = 1,
    high: Annotated[int, typer.Option("--max", min=1, help="Maximum replicas per pool.")] = 128,
    cold_start: Annotated[
        float, typer.Option("--cold-start", min=0.0, help="Mean cold start, in seconds.")
    ] = 210.0,
    prefill_rate: Annotated[
        float, typer.Option("--prefill-rate", min=1.0, help="Prompt tokens per second and replica.")
    ] = 4000.0,
    decode_token: Annotated[
        float,
        typer.Option(
            "--decode-token", min=1e-6, help="Seconds per output token with all slots in use."
        ),
    ] = 0.03,
    decode_slots: Annotated[
        int, typer.Option("--decode-slots", min=1, help="Concurrent requests per decode replica.")
    ] = 16,
    batch_growth: Annotated[
        float,
        typer.Option(
            "--batch-growth",
            min=0.0,
            help="Share by which each further request of a batch slows a token down.",
        ),
    ] = 1 / 62,
    kv_tokens: Annotated[
        int,
        typer.Option(
            "--kv-tokens", min=0, help="KV cache of a decode replica, in tokens (0: unlimited)."
        ),
    ] = 100_000,
    cached_share: Annotated[
        float,
        typer.Option(
            "--cached-share", min=0.0, max=0.99, help="Share of prompts in the prefix cache."
        ),
    ] = 0.0,
    dispatch: Annotated[
        str,
        typer.Option(
            "--dispatch",
            help="push (each request goes to a replica at once) or pull (a queue in the router).",
        ),
    ] = "push",
    prefill_gpus: Annotated[
        int, typer.Option("--prefill-gpus", min=1, help="GPUs of a prefill replica.")
    ] = 1,
    decode_gpus: Annotated[
        int, typer.Option("--decode-gpus", min=1, help="GPUs of a decode replica.")
    ] = 1,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="GPU slots of the cluster.")] = 256,
    instance: Annotated[
        str,
        typer.Option("--instance", help=f"Instance type that is billed: {', '.join(INSTANCES)}."),
    ] = "g6.xlarge",
    seed: Annotated[
        int, typer.Option("--seed", help="Random seed of the fleet and of a generated trace.")
    ] = 7,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Runs with other seeds of the fleet, averaged.")
    ] = 1,
    recommend: Annotated[
        bool,
        typer.Option("--recommend", help="Search for the cheapest settings that meet the goal."),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write a picture to this .png or .svg file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a trace of requests against scaling policies.

    The fleet is simulated, with the cold starts and service times that the options set.
    """
    require_simulate_extra()
    from ecs_dynamo.simulate.compare import Setting
    from ecs_dynamo.simulate.fleet.billing import INSTANCE_TYPES
    from ecs_dynamo.simulate.fleet.spec import Dispatch, FleetSpec
    from ecs_dynamo.simulate.report import HEADINGS, plot_history, row

    _check_options(low, high, plot, instance, dispatch)
    own = _scaling(file, component) if file is not None else None
    fleet = FleetSpec(
        prefill_rate=prefill_rate,
        decode_token=decode_token,
        decode_slots=decode_slots,
        cold_start=cold_start,
        gpu_slots=gpus,
        batch_growth=batch_growth,
        kv_tokens=kv_tokens,
        cached_share=cached_share,
        dispatch=Dispatch(dispatch),
        prefill_gpus=prefill_gpus,
        decode_gpus=decode_gpus,
        instance=INSTANCE_TYPES[instance],
    )
    setting = Setting(
        _load_trace(trace, seed).scaled(scale, seed),
        fleet,
        target=target,
        target_ttft=target_ttft,
        target_itl=target_itl,
        miss=1.0 - goal,
        low=low,
        high=high,
        seed=seed,
        repeats=seeds,
        history=plot is not None,
    )
    if recommend:
        _recommend(setting, goal, own, as_json=as_json, plot=plot)
        return
    results: list[Result] = []
    for result in _runs(setting, _resolve_policies(policy or [], file), own):
        results.append(result)
        if sys.stderr.isatty():
            say(f"{result.policy} done", style="dim", stderr=True)
    if plot is not None:
        plot_history(setting.trace, results, plot)
    if as_json:
        print_json([_document(r) for r in results])
        return
    hours = setting.trace.seconds / 3600
    print_table(
        f"{setting.trace.name}: {len(setting.trace):,} requests in {hours:.1f} h; attained: waited "
        f"at most {target:g} s in the queue; {fleet.describe()}",
        HEADINGS,
        (row(r) for r in results),
    )
    if plot is not None:
        say(f"wrote {plot}")


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(simulate)
