"""Registered and routed are two facts; a worker with another model card is only the first."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.discovery.cards import parse_card
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.dynamo.discovery import ModelCard
from ecs_dynamo.model.plan import Memory
from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.planning.observed.facts import observe_graph
from ecs_dynamo.planning.planner import plan
from tests.helpers.convergence import converge
from tests.helpers.graphs import graph
from tests.helpers.simulated_ecs import SimulatedEcs
from tests.helpers.simulated_services import lease_of

CARD = (
    b'{"type":"Model","card_json":{"display_name":"tiny","source_path":"/a","kv_cache_block_size":%d,'
    b'"model_info":{"hf":{"path":"http://10.0.0.5:8081/v1/metadata/x","checksum":"blake3:1"}},'
    b'"runtime_config":{"stable_routing_id":"%b"}}}'
)
KEY = "v1/mdc/ns/backend/generate/694da21a14d04405"


def card(size: int, routing_id: bytes = b"a") -> ModelCard:
    parsed = parse_card(KEY, CARD % (size, routing_id))
    assert parsed is not None
    assert parsed[0] == ("ns", "backend", "generate", 0x694DA21A14D04405)
    return parsed[1]


def test_a_card_has_its_page_its_routing_id_and_what_frontends_compare() -> None:
    result = card(64)
    assert (result.page, result.routing_id) == ("http://10.0.0.5:8081", "a")
    assert result.facts == (
        ("display_name", "tiny"),
        ("kv_cache_block_size", "64"),
        ("model_info.hf", "blake3:1"),
    )
    assert card(64, b"b").facts == result.facts
    assert parse_card("v1/instances/ns/backend/generate/1", b"{}") is None


def test_a_worker_that_frontends_refuse_is_named_with_the_difference() -> None:
    declared = graph(decode=2)
    ecs = SimulatedEcs(declared)
    result = converge(ecs, declared, Memory(started_at=ecs.now))
    snapshot = ecs.snapshot()
    assert not isinstance(snapshot.registrations, Unknown)
    first, second = (lease_of(t.arn) for t in ecs.serving("decode"))
    cards = {first: card(64), second: card(32)}
    registered = tuple(replace(r, card=cards.get(r.lease_id)) for r in snapshot.registrations)
    observation = replace(snapshot, registrations=registered)

    def look(*routed: int):  # type: ignore[no-untyped-def]  # Plan and condition
        named = {"http://10.0.0.9:8000": frozenset(routed)} if routed else {}
        now = Now.at(ecs.now)
        done = plan(declared, replace(observation, routed=named), result.memory, now)
        unrouted = next(
            c
            for c in done.conditions
            if c.type is ConditionType.UNROUTED and c.component == "decode"
        )
        return done.replicas["decode"], unrouted

    counts, unrouted = look()
    assert (counts.ready, counts.registered, counts.routed) == (2, 2, None)
    assert not unrouted.status
    counts, unrouted = look(first)
    assert (counts.ready, counts.registered, counts.routed) == (2, 2, 1)
    assert unrouted.status
    assert unrouted.message == (
        "1 registered, but no frontend routes to it: the model card differs from that of the "
        "workers that serve in kv_cache_block_size (32, not 64)"
    )
    counts, unrouted = look(first, second)
    assert (counts.routed, unrouted.status) == (2, False)
    # A frontend finds a new worker by and by: a worker that has just become ready is not a finding.
    partly = observe_graph(declared, replace(observation, routed={"x": frozenset({first})}))
    fresh = partly.routing(declared.component("decode"), frozenset())
    assert fresh is not None
    assert (fresh.routed, fresh.problem) == (1, None)
    blind = replace(observation, registrations=Unknown("etcd is down"))
    unread = observe_graph(declared, blind)
    assert unread.routing(declared.component("decode"), frozenset()) is None
