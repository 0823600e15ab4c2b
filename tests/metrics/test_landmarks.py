"""Errors of landmarks: equal to plain NumPy on random data, however they are divided over devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.metrics.landmarks import LandmarkErrors, radial_errors

NAMES, RADII = ("a", "b", "c"), (2.0, 2.5, 4.0)
ROWS = 40


@pytest.fixture
def rows() -> tuple[torch.Tensor, ...]:
    """Points, truth, counted pixels and spacing; five points not found, two not known."""
    generator = torch.Generator().manual_seed(0)
    truth = 100 * torch.rand(ROWS, 3, 2, generator=generator)
    points = truth + 12 * torch.randn(ROWS, 3, 2, generator=generator)
    points[[1, 5, 9, 13, 17], [0, 1, 2, 0, 1]] = torch.nan
    truth[[2, 5], [2, 1]] = torch.nan
    pixels = 0.5 + torch.rand(ROWS, 2, generator=generator)
    spacing = 0.1 + 0.2 * torch.rand(ROWS, 2, generator=generator)
    return points, truth, pixels, spacing


def reference(points, truth, scale, radii):
    """What the notes define, in plain NumPy."""
    p, g, s = (np.asarray(v, dtype=np.float64) for v in (points, truth, scale))
    errors = np.sqrt((((p - g) * s[:, None]) ** 2).sum(-1))
    known = ~np.isnan(g).any(-1)
    missing = known & np.isnan(p).any(-1)
    found = errors[known & ~missing]
    return {
        "mre": found.mean(),
        "sd": found.std(ddof=1),
        **{f"sdr_{r:g}": (found <= r).sum() / known.sum() for r in radii},
        "outliers": (found > max(radii)).sum(),
        "missing": missing.sum(),
        "points": known.sum(),
        "each": [np.nanmean(np.where(known, errors, np.nan)[:, k]) for k in range(3)],
    }


def filled(rows, *args, **options) -> LandmarkErrors:
    metric = LandmarkErrors(*args, **options)
    for part in range(0, ROWS, 16):
        metric.update(*(column[part : part + 16] for column in rows))
    return metric


def test_mm_and_px_equal_numpy(rows):
    found = filled(rows, NAMES, "mm", RADII, per_landmark=True).compute()
    mm, px = (reference(rows[0], rows[1], rows[k], RADII) for k in (3, 2))
    for unit, expected in (("mm", mm), ("px", px)):
        assert float(found[f"mre_{unit}"]) == pytest.approx(expected["mre"], abs=1e-9)
        assert float(found[f"sd_{unit}"]) == pytest.approx(expected["sd"], abs=1e-9)
    for radius in RADII:
        assert float(found[f"sdr_{radius:g}mm"]) == pytest.approx(mm[f"sdr_{radius:g}"])
    assert {name: int(found[name]) for name in ("outliers", "missing", "points")} == {
        name: mm[name] for name in ("outliers", "missing", "points")
    }
    assert mm["missing"] == 4 and mm["points"] == 118  # one is neither found nor known
    assert [float(found[f"landmark/{n}_mre_mm"]) for n in NAMES] == pytest.approx(mm["each"])


def test_pixels_alone(rows):
    found = filled((*rows[:3], torch.full((ROWS, 2), torch.nan)), NAMES, "px", (3.0, 6.0)).compute()
    expected = reference(rows[0], rows[1], rows[2], (3.0, 6.0))
    assert set(found) == {"mre_px", "sd_px", "sdr_3px", "sdr_6px", "outliers", "missing", "points"}
    assert float(found["mre_px"]) == pytest.approx(expected["mre"])
    assert float(found["sdr_6px"]) == pytest.approx(expected["sdr_6"])


def test_a_radius_is_reached_at_its_end():
    metric = LandmarkErrors(("a",), "px", (5.0,))
    metric.update(torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 1, 2), torch.ones(1, 2), torch.ones(1, 2))
    assert float(metric.compute()["sdr_5px"]) == 1


def test_missing_at_the_origin_as_published(rows):
    points, truth, _, spacing = rows
    at_origin = torch.where(points.isnan(), 0, points)
    expected = reference(at_origin, truth, spacing, RADII)
    found = filled(rows, NAMES, "mm", RADII, missing_at_origin=True).compute()
    assert float(found["mre_mm"]) == pytest.approx(expected["mre"]) and int(found["missing"]) == 4
    assert int(found["outliers"]) == expected["outliers"]
    assert float(found["mre_mm"]) > float(filled(rows, NAMES, "mm", RADII).compute()["mre_mm"])


def test_devices_add_up_to_one(rows):
    whole = filled(rows, NAMES, "mm", RADII, per_landmark=True)
    parts = [LandmarkErrors(NAMES, "mm", RADII, per_landmark=True) for _ in range(3)]
    for number, part in enumerate(parts):
        part.update(*(column[number::3] for column in rows))
    states = {name: [getattr(part, name) for part in parts] for name in whole._defaults}
    names = iter(whole._defaults)

    def gather(value, group=None):
        """What torch.distributed's all_gather gives each device, in the order that torchmetrics asks for states."""
        name = next(names)
        assert torch.equal(value, states[name][0])
        return states[name]

    parts[0].dist_sync_fn, parts[0].distributed_available_fn = gather, lambda: True
    together, alone = parts[0].compute(), whole.compute()
    assert together.keys() == alone.keys()
    for name, value in alone.items():
        assert float(together[name]) == pytest.approx(float(value)), name


def test_nothing_known_or_nothing_found():
    nothing = torch.full((2, 3, 2), torch.nan)
    metric = LandmarkErrors(NAMES, "px", RADII)
    metric.update(torch.zeros(2, 3, 2), nothing, torch.ones(2, 2), torch.ones(2, 2))
    assert {name: int(value) for name, value in metric.compute().items()} == {"points": 0}
    metric.reset()
    metric.update(nothing, torch.zeros(2, 3, 2), torch.ones(2, 2), torch.ones(2, 2))
    found = metric.compute()
    assert int(found["missing"]) == 6 and found["mre_px"].isnan() and float(found["sdr_2px"]) == 0


def test_radial_errors_take_each_axis_own_scale():
    error = radial_errors(torch.tensor([[[10.0, 0.0], [0.0, 10.0]]]), torch.zeros(1, 2, 2), torch.tensor([[0.3, 0.4]]))
    assert error.flatten().tolist() == pytest.approx([3, 4])
