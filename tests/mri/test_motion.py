"""Motion during the acquisition: what a schedule promises, and TorchIO beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.mri.config import SHARES, MotionConfig
from lab.mri.fourier import to_image, to_kspace
from lab.mri.motion import Schedule, draw_lines, draw_schedule, mix_lines, simulate
from lab.mri.rigid import rotate, translate

KINDS = ("segments", "steps", "random")


def generators(count: int, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + number) for number in range(count)]


def heads(count: int, size: int = 64) -> torch.Tensor:
    """Ellipses of several tones, clear of the border: (count, 1, size, size) in [0, 1]."""
    place = torch.linspace(-1, 1, size)
    y, x = place[:, None], place[None, :]
    rows = []
    for number in range(count):
        turn = 0.1 * number
        u, v = x + turn * y, y - turn * x
        image = (u**2 / 0.4 + v**2 / 0.55 < 1) * 0.8 - ((u - 0.2) ** 2 / 0.02 + v**2 / 0.06 < 1) * 0.5
        rows.append(image + ((u + 0.3) ** 2 + (v - 0.2) ** 2 < 0.02) * 0.2)
    return torch.stack(rows).float().unsqueeze(1)


@pytest.mark.parametrize("severity", SHARES)
@pytest.mark.parametrize("schedule", KINDS)
@pytest.mark.parametrize("size", [64, 256])
def test_the_share_of_moved_lines_is_the_severitys(severity, schedule, size):
    config = MotionConfig("line_mixing", severity=severity, schedule=schedule)
    drawn = draw_schedule(generators(60), (size, size), config)
    share = drawn.share((size, size))
    low, high = SHARES[severity]
    assert low <= share.min() and share.max() <= high
    assert share.max() - share.min() > 0.6 * (high - low)
    assert (share * size == (drawn.lines > 0).sum(1)).all()


@pytest.mark.parametrize("schedule", KINDS)
def test_the_centre_of_kspace_is_in_reference(schedule):
    config = MotionConfig("line_mixing", share=(0.9, 0.9), schedule=schedule, centre=(0.05, 0.1))
    lines = draw_schedule(generators(40), (100, 100), config).lines
    assert (lines[:, 48:52] == 0).all()
    assert ((lines > 0).sum(1) == 90).all()


@pytest.mark.parametrize("schedule", ["segments", "steps"])
def test_a_pose_holds_for_one_stretch_of_lines(schedule):
    """Except that the still middle, which is in reference, may lie in its midst."""
    config = MotionConfig("line_mixing", severity="heavy", schedule=schedule, movements=(5, 5))
    for generator in generators(30):
        poses = draw_lines(128, config, generator)
        moved, still = np.flatnonzero(poses > 0), np.flatnonzero(poses == 0)
        assert set(poses.tolist()) == set(range(6))
        assert (np.diff(poses[moved]) >= 0).all()
        if schedule == "steps":
            assert still.max() - still.min() + 1 == len(still)


def test_motion_differs_from_row_to_row_and_stays_within_its_bounds():
    config = MotionConfig("line_mixing", degrees=3.0, shift=2.0, movements=(2, 4))
    drawn = draw_schedule(generators(200), (64, 96), config)
    assert drawn.degrees.shape == (200, 4, 1) and drawn.shift.shape == (200, 4, 2)
    assert 2.9 < drawn.degrees.abs().max() <= 3 and 1.9 < drawn.shift.abs().max() <= 2
    assert set(drawn.lines.amax(1).tolist()) == {2, 3, 4}
    assert 60 < drawn.axis.sum() < 140
    assert (drawn.lines[drawn.axis == 0, 64:] == 0).all()
    assert (draw_schedule(generators(9), (64, 96), MotionConfig(phase_axis=1)).axis == 1).all()
    with pytest.raises(ValueError, match="phase_axis 2"):
        draw_schedule(generators(1), (64, 64), MotionConfig(phase_axis=2))


@pytest.mark.parametrize("config", [MotionConfig("line_mixing"), MotionConfig("torchio")], ids=lambda c: c.simulator)
def test_a_row_depends_on_its_generator_alone(config):
    image = heads(3, 32)
    together = simulate(image, generators(3), config, (2.0, 2.0))
    assert torch.equal(together, simulate(image, generators(3), config, (2.0, 2.0)))
    for row in range(3):
        alone = simulate(image[row : row + 1], generators(1, first=row), config, (2.0, 2.0))
        assert torch.allclose(alone[0], together[row], atol=1e-5)
    assert not torch.allclose(together, simulate(image, generators(3, first=7), config, (2.0, 2.0)), atol=1e-2)


@pytest.mark.parametrize("simulator", ["line_mixing", "torchio"])
def test_without_rotation_and_shift_nothing_changes(simulator):
    image = heads(2)
    still = simulate(image, generators(2), MotionConfig(simulator, degrees=0.0, shift=0.0))
    assert (still - image).abs().max() < 1e-5
    assert simulate(image, generators(2), MotionConfig()) is image


def test_lines_come_from_the_poses_that_the_schedule_names():
    image = heads(2, 32)
    lines = torch.zeros(2, 32, dtype=torch.long)
    lines[0, 3:9], lines[0, 20:22], lines[1, 5] = 1, 2, 2
    shift = torch.tensor([[[2.0, -3.0], [0.5, 0.0]]] * 2)
    schedule = Schedule(lines, torch.tensor([0, 1]), torch.tensor([[[0.0], [4.0]]] * 2), shift)
    mixed = to_kspace(mix_lines(image, schedule))
    first = to_kspace(translate(image, shift[:, 0]))
    second = to_kspace(translate(rotate(image, torch.tensor([4.0, 4.0])), shift[:, 1]))
    still = to_kspace(image)
    assert torch.allclose(mixed[0, 0, 3:9], first[0, 0, 3:9], atol=1e-5)
    assert torch.allclose(mixed[0, 0, 20:22], second[0, 0, 20:22], atol=1e-5)
    assert torch.allclose(mixed[1, 0, :, 5], second[1, 0, :, 5], atol=1e-5)
    assert torch.allclose(mixed[1, 0, :, 6:], still[1, 0, :, 6:], atol=1e-5)
    assert torch.allclose(mixed[0, 0, 9:20], still[0, 0, 9:20], atol=1e-5)


def test_shifts_keep_the_energy_of_every_line():
    image = heads(4)
    schedule = draw_schedule(generators(4), (64, 64), MotionConfig("line_mixing", degrees=0.0, severity="heavy"))
    moved = mix_lines(image, schedule)
    assert torch.allclose(moved.abs().square().flatten(1).sum(1), image.square().flatten(1).sum(1), rtol=1e-4)


def test_the_projection_along_the_lines_stays():
    """It is the central line of k-space (projection-slice theorem), which always comes from the reference pose."""
    image = heads(6)
    schedule = draw_schedule(generators(6), (64, 64), MotionConfig("line_mixing", severity="heavy"))
    moved = mix_lines(image, schedule)
    for row, axis in enumerate(schedule.axis.tolist()):
        assert torch.allclose(moved[row, 0].sum(axis).real, image[row, 0].sum(axis), atol=1e-4)


@pytest.mark.parametrize("schedule", KINDS)
def test_no_image_is_shifted_as_a_whole(schedule):
    """The peak of the cross-correlation stays in the middle, although poses are up to 5 pixels off."""
    image = heads(12)
    moved = simulate(image, generators(12), MotionConfig("line_mixing", schedule=schedule, degrees=0.0, shift=5.0))
    correlation = to_image(to_kspace(moved) * to_kspace(image).conj()).real.flatten(1)
    assert (correlation.argmax(1) == 32 * 64 + 32).all()
    assert ((moved - image).square().flatten(1).mean(1) > 1e-5).all()


def test_worse_motion_is_further_from_the_truth():
    image = heads(16)
    errors = []
    for severity in SHARES:
        moved = simulate(image, generators(16), MotionConfig("line_mixing", severity=severity))
        errors.append(float((moved - image).square().mean()))
    assert errors == sorted(errors)


def test_volumes_move_out_of_their_slices():
    volume = heads(6, 32).reshape(1, 1, 6, 32, 32).repeat_interleave(3, dim=2)
    config = MotionConfig("line_mixing", severity="heavy", shift=4.0)
    moved = simulate(volume, generators(1), config, (2.0, 1.0, 1.0))
    assert moved.shape == volume.shape and (moved - volume).abs().max() > 0.05
    drawn = draw_schedule(generators(50), (18, 32, 32), config)
    assert drawn.degrees.shape == (50, 5, 3) and set(drawn.axis.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("degrees", "shift"), [(0.0, (3.0, -2.0)), (4.0, (0.0, 0.0))])
def test_torchio_mixes_the_same_lines(axis, degrees, shift):
    """One movement at half of the lines. It resamples linearly, and turns the way that the order of axes says."""
    pytest.importorskip("torchio")
    from lab.mri.with_torchio import apply_torchio

    place = torch.arange(64) - 31.5
    image = torch.exp(-((place[:, None] - 4) ** 2 / 60 + (place[None, :] + 6) ** 2 / 30))
    theirs = apply_torchio(
        image, np.array([[degrees, 0, 0]]), np.array([[0, *shift]]), np.array([0.49]), axis, (1.0, 1.0)
    )
    changed = float((theirs - image).abs().max())
    assert changed > 0.02
    errors = []
    for sign in (1, -1):
        for flips in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            moved = rotate(image[None, None], torch.tensor([sign * degrees]))
            moved = translate(moved, torch.tensor([[flips[0] * shift[0], flips[1] * shift[1]]]))
            mixed, other = to_kspace(image[None, None]), to_kspace(moved)
            lines = (slice(None),) * (2 + axis) + (slice(0, 31),)
            mixed[lines] = other[lines]
            errors.append(float((to_image(mixed).real[0, 0] - theirs).abs().max()))
    assert min(errors) < (1e-4 if degrees == 0 else 0.2 * changed)
    assert max(errors) > changed  # the other way round is further than not having moved


def test_torchio_leaves_the_random_state_alone():
    pytest.importorskip("torchio")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    simulate(heads(1, 32), generators(1), MotionConfig("torchio"))
    assert torch.equal(torch.get_rng_state(), before)
    assert simulate(heads(1, 16)[:, :, None], generators(1), MotionConfig("torchio"), (1.0, 1.0, 1.0)).ndim == 5


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"share": (0.5, 0.2)}, "share"),
        ({"share": (0.9, 0.95)}, "centre"),
        ({"movements": (0, 2)}, "movements"),
        ({"degrees": 90.0}, "degrees"),
        ({"shift": -1.0}, "shift"),
        ({"phase_axis": 3}, "phase_axis"),
    ],
)
def test_options_that_make_no_sense(options, field):
    assert [name for name, _ in MotionConfig(**options).check()] == [field]
