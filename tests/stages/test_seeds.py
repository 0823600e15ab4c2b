from __future__ import annotations

from lab.stages.seeds import derive


def test_golden() -> None:
    """Written in every artefact's results: must never change."""
    assert derive(0) == 4761921975702974394
    assert derive(0, "noise", 3) == 6595435292110185176


def test_every_axis_counts() -> None:
    seeds = [derive(0), derive(1), derive(0, "a"), derive(0, "b"), derive(0, "a", 1), derive(0, "a", "1"), derive(0, 1)]
    seeds += [derive(0, "a", 1, 2), derive(0, "a", 12), derive(0, "a", 2, 1), derive(-1, "a")]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
