"""The entry point of `make bench`; the results go to docs/benchmarks.

`python -m benchmarks rollouts` measures rollouts under load instead of scaling policies.
"""

from __future__ import annotations

import sys

from benchmarks.rollouts.__main__ import main as measure_rollouts
from benchmarks.scaling.__main__ import main as compare_policies

if __name__ == "__main__":
    if sys.argv[1:2] == ["rollouts"]:
        sys.exit(measure_rollouts(sys.argv[2:]))
    compare_policies()
