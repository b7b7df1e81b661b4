"""The Dynamo namespaces in an etcd whose names start with that of a graph.

Frontends serve every namespace that starts with their prefix, so that a graph must know which
others there are. The keys are those of `etcd` (``v1/instances/{namespace}/...``) and `cards`
(``v1/mdc/{namespace}/...``).
"""

from __future__ import annotations

from typing import Any

import aetcd
from aetcd import rpc

MAX_NAMESPACES = 200
"""Maximum number of namespaces that are listed for one prefix: each costs a request."""


async def list_namespaces(client: Any, root: str, start: str) -> frozenset[str]:
    """Return the namespaces under the keys ``root`` whose names start with ``start``.

    One key of each namespace is read, without its value, so that the number of workers does not
    matter. Raises ConnectionError if etcd refuses, or if there are more than `MAX_NAMESPACES`.
    """
    prefix = f"{root}/".encode()
    key = prefix + start.encode()
    end = aetcd.utils.prefix_range_end(key)
    namespaces: set[str] = set()
    for _ in range(MAX_NAMESPACES + 1):
        request = rpc.RangeRequest(key=key, range_end=end, limit=1, keys_only=True)
        try:
            page = await client.kvstub.Range(request, metadata=client.metadata)
        except rpc.AioRpcError as error:
            raise ConnectionError(error.details() or str(error.code())) from None
        if not page.kvs:
            return frozenset(namespaces)
        name, slash, _ = page.kvs[0].key.removeprefix(prefix).partition(b"/")
        # The next key that is not in this namespace; "0" follows "/" in ASCII.
        key = prefix + name + (b"0" if slash else b"\0")
        if slash:
            namespaces.add(name.decode(errors="replace"))
    message = f"more than {MAX_NAMESPACES} namespaces in etcd start with {start}"
    raise ConnectionError(message)
