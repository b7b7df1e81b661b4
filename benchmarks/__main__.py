"""The entry point of `make bench`; the results go to docs/benchmarks."""

from __future__ import annotations

from benchmarks.scaling.__main__ import main

if __name__ == "__main__":
    main()
