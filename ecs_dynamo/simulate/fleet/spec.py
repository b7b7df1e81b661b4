"""The hardware of a fleet and its model: the parameters, and where their defaults come from."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ecs_dynamo.simulate.fleet.billing import INSTANCE_TYPES, InstanceType

if TYPE_CHECKING:
    from ecs_dynamo.simulate.traces.trace import Trace


class PoolName(StrEnum):
    """The pools of a fleet, in the order in which a request passes them."""

    PREFILL = "prefill"
    DECODE = "decode"


class Dispatch(StrEnum):
    """How requests come to the replicas of a pool."""

    PUSH = "push"
    """Each request goes at once to the replica with the least pending work, as Dynamo's KV router
    sends it without ``--router-queue-threshold`` (its default; NVIDIA Dynamo documentation,
    "Router: Configuration and Tuning"): the new prompt tokens for prefill, the blocks of KV cache
    for decode. A new replica takes no part in an existing backlog."""
    PULL = "pull"
    """Requests wait in one queue until a replica is free, as they do in the router's own queue
    (``--router-queue-threshold``)."""


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """The hardware and the model. Times are seconds; rates are tokens/s of one replica.

    Prefill serves one prompt at a time, first come, first served, in ``prefill_base`` plus the
    uncached tokens / ``prefill_rate``. A share ``cached_share`` of the prompt tokens is in the
    prefix cache, where the trace itself does not say how many are.

    Decode batches continuously: a token step of a replica with n requests takes a + b n. At
    ``decode_slots`` requests (vLLM's ``--max-num-seqs``) a step takes ``decode_token``, and
    ``batch_growth`` is b / a. A request reserves KV cache for its prompt and its output, and a
    decode replica has ``kv_tokens`` of it (0: unlimited).

    ``cold_start`` is the mean and ``cold_start_spread`` the standard deviation relative to it
    (log-normal). ``launch_failure`` is the share of launches that fail. A replica has
    ``prefill_gpus`` or ``decode_gpus``, and the cluster has ``gpu_slots``. ``zero_rejects``: the
    frontends refuse requests while a pool has no ready replica, instead of queueing them. Whole
    instances of the type ``instance`` are billed.

    Off by default: capacity shortages, in which no launch that needs a further instance succeeds,
    ``shortage_every`` seconds apart on average and ``shortage_length`` seconds long; and
    ``interruptions`` of spot instances per instance hour, with a warning two minutes before.

    Sources of the defaults:

    - ``batch_growth``: a batch of 64 doubles the time between tokens (Patel et al., "Splitwise",
      ISCA 2024, section III): a + 64 b = 2 (a + b), so b / a = 1 / 62.
    - ``kv_tokens``: an 8B model with 8-bit weights on an L4 (24 GB, 90 % used) keeps 12.7 GB of KV
      cache, at 128 KiB per token of Llama 3.1 8B (32 layers, 8 KV heads, 128 values of 2 bytes).
      Reading those weights takes 27 ms per step (300 GB/s), which is a.
    """

    prefill_base: float = 0.03
    prefill_rate: float = 4_000.0
    decode_token: float = 0.03
    decode_slots: int = 16
    cold_start: float = 210.0
    cold_start_spread: float = 0.2
    launch_failure: float = 0.01
    gpu_slots: int = 256
    batch_growth: float = 1 / 62
    kv_tokens: int = 100_000
    cached_share: float = 0.0
    dispatch: Dispatch = Dispatch.PUSH
    prefill_gpus: int = 1
    decode_gpus: int = 1
    zero_rejects: bool = False
    instance: InstanceType = INSTANCE_TYPES["g6.xlarge"]
    shortage_every: float = 0.0
    shortage_length: float = 1_800.0
    interruptions: float = 0.0

    @property
    def step_base(self) -> float:
        """Seconds of a token step that do not depend on the batch (a)."""
        return self.decode_token / (1.0 + self.batch_growth * self.decode_slots)

    @property
    def step_each(self) -> float:
        """Seconds that each request of the batch adds to a token step (b)."""
        return self.step_base * self.batch_growth

    @property
    def kv_limit(self) -> float:
        """Tokens of KV cache of a decode replica, infinite if unlimited."""
        return float(self.kv_tokens) if self.kv_tokens > 0 else math.inf

    def gpus(self, pool: PoolName) -> int:
        """Return the GPUs of one replica."""
        return self.prefill_gpus if pool is PoolName.PREFILL else self.decode_gpus

    def slots(self, pool: PoolName) -> int:
        """Return the number of requests that a replica of the pool serves concurrently."""
        return 1 if pool is PoolName.PREFILL else self.decode_slots

    def describe(self) -> str:
        """Return which parts of the model are on, for the results."""
        parts = [
            f"cold start {self.cold_start:g} s",
            f"{self.dispatch} dispatch",
            f"{1e3 * self.step_base:.1f} + {1e3 * self.step_each:.2f} x batch ms per token",
            f"{self.decode_slots} slots",
            f"KV cache of {self.kv_tokens:,} tokens" if self.kv_tokens else "unlimited KV cache",
        ]
        if self.cached_share > 0:
            parts.append(f"{100 * self.cached_share:g} % of the prompt tokens cached")
        if self.zero_rejects:
            parts.append("requests without a replica are refused")
        if self.shortage_every > 0:
            length, every = self.shortage_length, self.shortage_every
            parts.append(f"shortages of {length:g} s every {every:g} s on average")
        if self.interruptions > 0:
            parts.append(f"{self.interruptions:g} spot interruptions per instance hour")
        parts.append(
            f"{self.prefill_gpus} + {self.decode_gpus} GPUs per replica (prefill, decode), "
            f"{self.gpu_slots} in total, on {self.instance.name} ({self.instance.gpus} GPUs)"
        )
        return ", ".join(parts)

    def cold(self, rng: random.Random) -> float:
        """Return one random cold start in seconds."""
        if self.cold_start_spread <= 0:
            return self.cold_start
        variance = math.log(1 + self.cold_start_spread**2)
        return self.cold_start * math.exp(rng.gauss(-variance / 2, math.sqrt(variance)))

    def cached(self, trace: Trace, seed: int) -> NDArray[np.float64]:
        """Return the prompt tokens of each request that need no prefill.

        They are those of the trace's array ``cached``, if it has one. Otherwise each request has a
        random cached share around the mean (uniform), which depends on ``seed`` and its index.
        """
        cached: NDArray[np.float64] | None = getattr(trace, "cached", None)
        if cached is not None:
            return np.minimum(trace.prompts, cached)
        if self.cached_share <= 0:
            return np.zeros(len(trace))
        width = min(self.cached_share, 1.0 - self.cached_share)
        rng = np.random.default_rng(seed)
        share = self.cached_share + width * rng.uniform(-1.0, 1.0, len(trace))
        return trace.prompts * share

    def work(self, pool: PoolName, trace: Trace, seed: int = 7) -> NDArray[np.float64]:
        """Return the slot-seconds that each request needs of a pool at full load.

        A decode request whose KV cache is larger than a slot's share counts as several slots.
        """
        if pool is PoolName.PREFILL:
            return (
                self.prefill_base + (trace.prompts - self.cached(trace, seed)) / self.prefill_rate
            )
        share = np.maximum(1.0, self.kv(trace) * self.decode_slots / self.kv_limit)
        return trace.outputs * self.decode_token * share

    def kv(self, trace: Trace) -> NDArray[np.float64]:
        """Return the tokens of KV cache that each request reserves at a decode replica."""
        return np.minimum(trace.prompts + trace.outputs, self.kv_limit)
