"""Run every benchmark: `python -m benchmarks [--quick]`. Each also runs by itself: `python -m benchmarks.<name>`."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "consolidation", "autolabel", "audits", "drift", "second_night", "dags", "service", "service_scale", "human_loops",
)  # fmt: skip


def main() -> int:
    """Run them one after the other, each in a process of its own; returns the worst exit code."""
    worst = 0
    for name in BENCHMARKS:
        print(f"\n=== {name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]]).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
