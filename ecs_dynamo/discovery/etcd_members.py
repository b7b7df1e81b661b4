"""Who is in an etcd cluster, read and changed over its v3 API (service Cluster).

A learner answers `Status` and nothing of the membership, so what it says of itself is taken from
there. The texts that etcd refuses with are those of its `rpctypes` (3.5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from aetcd import rpc

from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, EtcdCredentials
from ecs_dynamo.discovery.etcd import open_etcd
from ecs_dynamo.model.plan import ChangeMembership, MembershipStep
from ecs_dynamo.model.snapshot import EtcdMember, EtcdView

_log = structlog.get_logger(__name__)

AT_ONCE = 16
NOT_YET = (
    "unhealthy cluster",
    "in sync with leader",
    "too many learner",
    "not enough started members",
    "no leader",
    "leader changed",
)
"""Refusals that end by themselves: a member has yet to connect, to catch up, or to be elected."""
DONE = ("Peer URLs already exists", "member not found", "can only promote a learner member")
"""Refusals of what is so already, as of a call that took effect and was not answered."""


async def read_view(
    url: str, timeout: float, credentials: EtcdCredentials = NO_CREDENTIALS.etcd
) -> EtcdView | None:
    """What the server at ``url`` says; None where it does not answer."""
    try:
        async with open_etcd(url, timeout, credentials) as client, asyncio.timeout(timeout):
            header = (await _status(client)).header
            members = await _members(client)
    except ConnectionError:
        return None
    return EtcdView(header.cluster_id, header.member_id, members)


async def read_views(
    servers: Mapping[str, str], timeout: float, credentials: EtcdCredentials = NO_CREDENTIALS.etcd
) -> dict[str, EtcdView]:
    """The answers of many at once, by the keys of ``servers``."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(url: str) -> EtcdView | None:
        try:
            async with gate:
                return await read_view(url, timeout, credentials)
        except Exception:
            # An answer that the client cannot take is this server's own fault.
            _log.debug("etcd's view not read", url=url, exc_info=True)
            return None

    views = await asyncio.gather(*(one(url) for url in servers.values()))
    return {key: view for key, view in zip(servers, views, strict=True) if view is not None}


async def _status(client: Any) -> Any:
    try:
        return await client.maintenancestub.Status(rpc.StatusRequest(), metadata=client.metadata)
    except rpc.AioRpcError as error:
        raise ConnectionError(error.details()) from None


async def _members(client: Any) -> tuple[EtcdMember, ...]:
    """As this server knows them, without asking the others; a learner may not tell."""
    try:
        answer = await client.clusterstub.MemberList(
            rpc.MemberListRequest(), metadata=client.metadata
        )
    except rpc.AioRpcError as error:
        if "not supported for learner" in (error.details() or ""):
            return ()
        raise ConnectionError(error.details()) from None
    found = (EtcdMember(m.ID, m.name, tuple(m.peerURLs), m.isLearner) for m in answer.members)
    return tuple(sorted(found, key=lambda m: m.id))


async def change_membership(
    action: ChangeMembership, timeout: float, credentials: EtcdCredentials = NO_CREDENTIALS.etcd
) -> bool:
    """Carry ``action`` out at the first server that will; False where nothing was changed.

    Each server goes by its own connections, so what one refuses another may do. ConnectionError
    where none answers.
    """
    reasons: list[str] = []
    refused = ""
    for url in action.servers:
        try:
            async with open_etcd(url, timeout, credentials) as client, asyncio.timeout(timeout):
                await _call(client, action)
        except rpc.AioRpcError as error:
            said = error.details() or str(error.code())
            if any(text in said for text in NOT_YET):
                refused = said
            elif any(text in said for text in DONE):
                return False
            else:
                reasons.append(f"{url}: {said}")
        except ConnectionError as error:
            reasons.append(str(error))
        else:
            return True
    if refused:
        _log.info("etcd refuses for now", component=action.component, said=refused)
        return False
    raise ConnectionError("; ".join(reasons) or "no etcd server answers")


async def _call(client: Any, action: ChangeMembership) -> None:
    stub, metadata = client.clusterstub, client.metadata
    match action.step:
        case MembershipStep.ADD:
            request = rpc.MemberAddRequest(peerURLs=[action.peer_url], isLearner=True)
            await stub.MemberAdd(request, metadata=metadata)
        case MembershipStep.PROMOTE:
            await stub.MemberPromote(rpc.MemberPromoteRequest(ID=action.member), metadata=metadata)
        case MembershipStep.UPDATE:
            request = rpc.MemberUpdateRequest(ID=action.member, peerURLs=[action.peer_url])
            await stub.MemberUpdate(request, metadata=metadata)
        case MembershipStep.REMOVE:
            await stub.MemberRemove(rpc.MemberRemoveRequest(ID=action.member), metadata=metadata)
