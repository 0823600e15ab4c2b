"""Rigid registration of two scans of one head, through SimpleITK, and a check of how well it went."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lab.data.files import replacing
from lab.data.scans.volume import Volume
from lab.errors import UserError

SAMPLES = 20_000
"""Voxels that the mutual information is computed from."""
FARTHEST = (30.0, 40.0)
"""Degrees and mm: a head in a coil doesn't turn or move further between two scans."""


@dataclass(frozen=True)
class Alignment:
    """Where a scan has to go to lie on another one.

    angles: radians, about three axes of the world; shift: mm; centre: of the turn, mm (all in ITK's LPS world).
    before, after: correlation of the two scans within the head, in [-1, 1].
    """

    angles: tuple[float, float, float]
    shift: tuple[float, float, float]
    centre: tuple[float, float, float]
    before: float
    after: float

    def doubt(self, least: float) -> str:
        """Why the result can't be trusted; empty when it can.

        least: correlation within the head that two scans of one head have, motion or not.
        """
        degrees, far = np.degrees(np.abs(self.angles).max()), np.linalg.norm(self.shift)
        if degrees > FARTHEST[0] or far > FARTHEST[1]:
            return f"it turned by {degrees:.0f} degrees and moved by {far:.0f} mm"
        if self.after < least:
            return f"correlation within the head is {self.after:.2f}, less than {least:g}"
        if self.after < self.before - 0.01:
            return f"correlation within the head fell from {self.before:.2f} to {self.after:.2f}"
        return ""


def register(fixed: Volume, moving: Volume) -> Alignment:
    """Six degrees of freedom by Mattes' mutual information, coarse to fine.

    Numbers are rounded to what is the same each time: ITK sums over its threads in any order.

    Raises:
        UserError: SimpleITK is not installed.
    """
    sitk = _sitk()
    still, other = _image(fixed, sitk), _image(moving, sitk)
    start = sitk.CenteredTransformInitializer(
        still, other, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, SAMPLES / fixed.values.size), seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-2, numberOfIterations=100, relaxationFactor=0.5
    )
    method.SetOptimizerScalesFromPhysicalShift()
    levels = [4, 2, 1] if min(fixed.values.shape) >= 96 else [2, 1]
    method.SetShrinkFactorsPerLevel(levels)
    method.SetSmoothingSigmasPerLevel([level / 2 if level > 1 else 0 for level in levels])
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(still, other)
    found = sitk.Euler3DTransform(start)
    angles = _rounded((found.GetAngleX(), found.GetAngleY(), found.GetAngleZ()), 6)
    alignment = Alignment(angles, _rounded(found.GetTranslation(), 4), _rounded(found.GetCenter(), 4), 0.0, 0.0)
    head = fixed.values > 0.1 * np.percentile(fixed.values, 99)
    identity = Alignment((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), alignment.centre, 0.0, 0.0)
    before, after = (
        round(float(np.corrcoef(fixed.values[head], resample(moving, fixed, place)[head])[0, 1]), 4)
        for place in (identity, alignment)
    )
    return Alignment(angles, alignment.shift, alignment.centre, before, after)


def _rounded(values: tuple[float, float, float], digits: int) -> tuple[float, float, float]:
    x, y, z = (round(value, digits) for value in values)
    return x, y, z


def resample(moving: Volume, fixed: Volume, alignment: Alignment) -> np.ndarray:
    """`moving` on the voxels of `fixed`, float32. Cubic splines: linear interpolation would blur artifacts away."""
    sitk = _sitk()
    transform = sitk.Euler3DTransform(alignment.centre, *alignment.angles, alignment.shift)
    other = _image(moving, sitk)
    outside = float(moving.values.min())
    placed = sitk.Resample(other, _image(fixed, sitk), transform, sitk.sitkBSpline, outside)
    return np.array(sitk.GetArrayFromImage(placed).T)


def kept_alignment(path: Path, fixed: Volume, moving: Volume) -> Alignment:
    """`register`, remembered in the JSON file `path`, which has to be named after both scans."""
    try:
        plain: dict[str, Any] = json.loads(path.read_text())
        angles, shift, centre = (tuple(plain[name]) for name in ("angles", "shift", "centre"))
        return Alignment(angles, shift, centre, plain["before"], plain["after"])
    except (OSError, ValueError, TypeError, KeyError):  # not there yet, or damaged
        alignment = register(fixed, moving)
        with replacing(path) as file:
            file.write(json.dumps(asdict(alignment)).encode())
        return alignment


def _image(volume: Volume, sitk: Any) -> Any:
    """As ITK has it, whose world points to the left, the back and up."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.values.T, dtype=np.float32))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    image.SetSpacing(volume.spacing)
    image.SetDirection((affine[:3, :3] / np.array(volume.spacing)).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def _sitk() -> Any:
    try:
        import SimpleITK
    except ImportError:
        raise UserError("registering pairs of scans needs SimpleITK: pip install 'lab[mri]'") from None
    return SimpleITK
