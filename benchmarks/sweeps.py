"""What a sweep costs beyond its stages: planning, starting processes, waiting for shared stages, keeping records.

    python -m benchmarks.sweeps --jobs 2 --out sweeps.json

plans and lists a thousand jobs; runs 24 (three settings of the last stage, eight seeds) and prints the wall time
against the sum of what its distinct stages took, divided by the slots; then asks for the same sweep again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab.stages.artefact import Artefact
from lab.stages.environment import environment
from lab.sweeps.plan import find_sweep

LR = "stages.recipe_2.module.lr"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="ddb_shapes")
    parser.add_argument("--profile", action="append", default=[], help="e.g. smoke: stages of a second or so")
    parser.add_argument("--jobs", type=int, default=2, help="slots")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    profiles = [word for name in args.profile for word in ("--profile", name)]
    common = ["--config", args.config, *profiles]
    with TemporaryDirectory() as folder:
        runs = Path(folder)
        lrs = ",".join(f"{1e-3 * (1 + i / 10):g}" for i in range(10))
        planned = timed("sweep", *common, "--grid", f"{LR}={lrs}", "--seeds", "100", "--plan-only", runs=runs)
        print(f"1,000 jobs planned and listed in {planned:.1f} s", flush=True)
        asked = ["sweep", *common, "--grid", f"{LR}=1e-3,2e-3,5e-4", "--seeds", str(args.seeds)]
        asked += ["--jobs", str(args.jobs)]
        wall = timed(*asked, runs=runs)
        sweeps = [find_sweep(path.name, runs) for path in (runs / "sweeps").iterdir()]
        sweep = max(sweeps, key=lambda each: each.started)
        keys = {key for job in sweep.jobs for key in job.stages.values()}
        own = sum(float(Artefact(runs / "store" / key).manifest["made"]["seconds"]) for key in keys)
        overhead = wall * args.jobs / own - 1
        print(
            f"{len(sweep.jobs)} jobs, {len(keys)} distinct stages of {sum(len(job.stages) for job in sweep.jobs)}: "
            f"{wall:.1f} s on {args.jobs} slots, their own times {own:.1f} s: overhead {100 * overhead:.1f} %",
            flush=True,
        )
        again = timed(*asked, runs=runs)
        print(f"asked again: {again:.1f} s")
        content: dict[str, Any] = {
            "plan": {"jobs": 1000, "seconds": round(planned, 2)},
            "sweep": {
                "config": args.config,
                "profiles": args.profile,
                "jobs": len(sweep.jobs),
                "slots": args.jobs,
                "distinct_stages": len(keys),
                "wall_seconds": round(wall, 2),
                "own_seconds": round(own, 2),
                "overhead": round(overhead, 4),
            },
            "again_seconds": round(again, 2),
            "environment": environment(),
        }
        if args.out:
            args.out.write_text(json.dumps(content, indent=1) + "\n")


def timed(*words: str, runs: Path) -> float:
    """Seconds that a `lab` command takes as a process of its own."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "lab", *words], env={**os.environ, "LAB_RUNS": str(runs)}, stdout=subprocess.DEVNULL
    )
    if done.returncode:
        raise SystemExit(f"lab {' '.join(words)}: exit status {done.returncode}")
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
