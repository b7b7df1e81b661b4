"""Read and change the members of an etcd cluster over its v3 API (service Cluster).

A learner answers `Status` but no membership request, so its own ids are read from `Status`. The
error texts are those of etcd's `rpctypes` (3.5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from aetcd import rpc

from ecs_dynamo.common.concurrency import map_concurrently
from ecs_dynamo.discovery.credentials import NO_CREDENTIALS, EtcdCredentials
from ecs_dynamo.discovery.etcd import open_etcd
from ecs_dynamo.model.dynamo.discovery import (
    EtcdMember,
    EtcdView,
)
from ecs_dynamo.model.plan import ChangeMembership, MembershipStep

_log = structlog.get_logger(__name__)

MAX_CONCURRENT = 16
TEMPORARY_ERRORS = (
    "unhealthy cluster",
    "in sync with leader",
    "too many learner",
    "not enough started members",
    "no leader",
    "leader changed",
)
"""Errors that end without intervention: a member has yet to connect, catch up or be elected."""
ALREADY_DONE_ERRORS = (
    "Peer URLs already exists",
    "member not found",
    "can only promote a learner member",
)
"""Errors if the change is already made, for example by a call whose answer was lost."""


async def read_view(
    url: str, timeout: float, credentials: EtcdCredentials = NO_CREDENTIALS.etcd
) -> EtcdView | None:
    """Return the cluster as the server at ``url`` sees it, or None if it does not answer."""
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
    """Read the views of many servers (key -> URL) concurrently, leaving out missing answers."""

    async def read(url: str) -> EtcdView | None:
        try:
            return await read_view(url, timeout, credentials)
        except Exception:
            # An answer that the client fails on must not affect the other servers.
            _log.debug("etcd's view not read", url=url, exc_info=True)
            return None

    views = await map_concurrently(read, servers.values(), limit=MAX_CONCURRENT)
    return {key: view for key, view in zip(servers, views, strict=True) if view is not None}


async def _status(client: Any) -> Any:
    try:
        return await client.maintenancestub.Status(rpc.StatusRequest(), metadata=client.metadata)
    except rpc.AioRpcError as error:
        raise ConnectionError(error.details()) from None


async def _members(client: Any) -> tuple[EtcdMember, ...]:
    """Return the members as this server knows them, or nothing if it is a learner."""
    try:
        answer = await client.clusterstub.MemberList(
            rpc.MemberListRequest(), metadata=client.metadata
        )
    except rpc.AioRpcError as error:
        if "not supported for learner" in (error.details() or ""):
            return ()
        raise ConnectionError(error.details()) from None
    members = (EtcdMember(m.ID, m.name, tuple(m.peerURLs), m.isLearner) for m in answer.members)
    return tuple(sorted(members, key=lambda m: m.id))


async def change_membership(
    action: ChangeMembership, timeout: float, credentials: EtcdCredentials = NO_CREDENTIALS.etcd
) -> bool:
    """Carry out ``action`` at the first server that accepts it.

    Return False if nothing was changed. Each server judges by its own connections, so another
    server may accept what one refuses. Raises ConnectionError if no server answers.
    """
    reasons: list[str] = []
    temporary_error = ""
    for url in action.servers:
        try:
            async with open_etcd(url, timeout, credentials) as client, asyncio.timeout(timeout):
                await _call(client, action)
        except rpc.AioRpcError as error:
            message = error.details() or str(error.code())
            if any(text in message for text in TEMPORARY_ERRORS):
                temporary_error = message
            elif any(text in message for text in ALREADY_DONE_ERRORS):
                return False
            else:
                reasons.append(f"{url}: {message}")
        except ConnectionError as error:
            reasons.append(str(error))
        else:
            return True
    if temporary_error:
        _log.info("etcd member change postponed", component=action.component, error=temporary_error)
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
