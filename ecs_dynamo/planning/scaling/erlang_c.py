"""How many servers keep the wait short: Erlang C with the Allen-Cunneen correction.

P(wait > T) = C(n, a) exp(-(n - a) T / (s v)) for n servers, offered load a = rate * s in erlangs,
mean service time s, and variability v = (ca^2 + cs^2) / 2. v = 1 is exact for M/M/n (Erlang 1917;
Allen and Cunneen's approximation for G/G/n, in Bolch et al., Queueing Networks and Markov Chains,
6.3.6).
"""

from __future__ import annotations

import math

MAX_SERVERS = 10_000


def fractional_servers(
    load: float, service: float, wait: float, miss: float, variability: float
) -> float:
    """Return the servers with which at most ``miss`` of the arrivals wait longer than ``wait``.

    The result includes the fraction of the last server that is needed (log-linear between whole
    servers). ``load`` is in erlangs, ``service`` and ``wait`` are in seconds, and ``miss`` is a
    share in (0, 1).
    """
    if load <= 0:
        return 0.0
    blocking = 1.0  # Erlang B by its recursion: B(n) = aB(n-1) / (n + aB(n-1)).
    decay = wait / (service * max(variability, 0.05))
    # With no more servers than load the queue only grows, and every request is late.
    late_before, servers_before = 1.0, load
    for n in range(1, MAX_SERVERS + 1):
        blocking = load * blocking / (n + load * blocking)
        if n <= load:
            continue
        waits = n * blocking / (n - load * (1.0 - blocking))
        late = waits * math.exp(-(n - load) * decay)
        if late <= miss:
            share = math.log(late_before / miss) / math.log(late_before / max(late, 1e-300))
            return servers_before + (n - servers_before) * min(max(share, 0.0), 1.0)
        late_before, servers_before = late, float(n)
    return float(MAX_SERVERS)


def servers_needed(
    load: float, service: float, wait: float, miss: float, variability: float
) -> int:
    """Return `fractional_servers` rounded up to whole servers."""
    return math.ceil(fractional_servers(load, service, wait, miss, variability))
