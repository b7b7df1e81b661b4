"""`make bench`: every benchmark, side by side in one run; the results go to docs/benchmarks."""

from __future__ import annotations

from benchmarks.scaling.__main__ import main

if __name__ == "__main__":
    main()
