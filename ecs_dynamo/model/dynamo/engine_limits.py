"""The number of requests that an engine works on at once, by its command line.

The flags are those of Dynamo's workers (Dynamo 1.6.1): ``--max-num-seqs`` of ``dynamo.vllm`` and
``dynamo.mocker``, ``--max-running-requests`` of ``dynamo.sglang``, and ``--max-batch-size`` of
``dynamo.trtllm``. vLLM also accepts underscores.
"""

from __future__ import annotations

import re

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.ecs.task_definition import command_line, containers_of
from ecs_dynamo.model.graph import Component

LIMIT_FLAGS = ("--max-num-seqs", "--max-running-requests", "--max-batch-size")
_FLAG = re.compile(
    r"(?<![\w-])--max[-_](?:num[-_]seqs|running[-_]requests|batch[-_]size)(?:\s+|=)"
    r"[\"']?(?P<count>[1-9]\d{0,6})\b"
)


def engine_limit(component: Component) -> float | None:
    """Return the requests that a replica's engines work on at once; None where none has a limit.

    The limits of several engines in one task add up. Of a flag that is repeated, the last value
    counts, as in argparse.
    """
    names = dynamo_containers(component).names
    limits = [
        int(matches[-1]["count"])
        for container in containers_of(component)
        if container.get("name") in names
        and (matches := list(_FLAG.finditer(command_line(container))))
    ]
    return float(sum(limits)) if limits else None
