"""`python -m benchmarks.pacing` is `python -m benchmarks.pacing.goals`."""

from __future__ import annotations

from benchmarks.pacing.goals import main

if __name__ == "__main__":
    main()
