"""From the numbers of each slice to those of a table row: per subject first, mean and spread over subjects."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from lab.errors import UserError
from lab.metrics.image_quality import ImageQuality
from lab.metrics.paired import paired_gain, subject_means

QUALITY = ImageQuality.names
RAISED = 0.01
"""SSIM has to rise by that, or a slice that lost PSNR is one that was harmed (evaluation notes, section 3.5)."""
RETAINED = 0.5
"""Less contrast left of a lesion, with PSNR lost: harmed, whatever SSIM says (same place)."""


def summary_of_rows(rows: Mapping[str, Tensor], rival: Mapping[str, Tensor] | None = None) -> dict[str, float]:
    """Metrics of a test, from its columns (n,) of slices.

    psnr, ssim, ssim_uniform, nmse: mean over subjects, each the mean of its slices; `…_std`: over subjects.
    psnr_gain, ssim_gain: over the uncorrected slices, with `…_low` and `…_high` of the 95 % bootstrap interval over
        subjects and `…_p` of Wilcoxon's signed-rank test.
    retained, round_trip_psnr, spread, spread_to_error: means over subjects, where they were measured.
    false_lesions, invented_lesions: a slice, among corrected affected and corrected clean ones.
    harmful: share of slices whose PSNR fell and whose SSIM didn't rise by .01 or whose lesion lost half its contrast.
    psnr_over_rival, with interval and p: against another test on the same rows.
    subjects, slices: how many. Slices without brain, or with a black twin, are left out.

    Raises:
        UserError: the rival was tested on other rows.
    """
    found = {name: column.double().numpy() for name, column in rows.items()}
    # From float32, in which only an infinite or undefined value isn't finite.
    kept = np.isfinite(np.stack([found[name] for name in QUALITY])).all(axis=0)
    subject = rows["subject"].numpy()[kept]

    def by_subject(values: np.ndarray) -> np.ndarray:
        return subject_means(values[kept], subject)[1]

    metrics: dict[str, float] = {}
    for name in QUALITY:
        means = by_subject(found[name])
        metrics[name] = _mean(means)
        if len(means) > 1:
            metrics[f"{name}_std"] = float(means.std(ddof=1))
    for name in ("psnr", "ssim"):
        gain = paired_gain(by_subject(found[name]), by_subject(found[f"input_{name}"]))
        metrics |= {f"{name}_gain": gain.mean, f"{name}_gain_low": gain.low, f"{name}_gain_high": gain.high}
        metrics[f"{name}_gain_p"] = gain.p
    for name in ("retained", "round_trip_psnr", "spread", "spread_to_error", "false_lesions", "invented_lesions"):
        if name in found:
            metrics[name] = _mean(by_subject(found[name]))
    lost = found["psnr"] < found["input_psnr"]
    unseen = found["ssim"] - found["input_ssim"] < RAISED
    if "retained" in found:
        unseen |= found["retained"] < RETAINED
    metrics["harmful"] = _mean((lost & unseen)[kept].astype(float))
    if rival is not None:
        if not np.array_equal(rival["index"], rows["index"]) or not np.array_equal(rival["subject"], rows["subject"]):
            raise UserError("the test that `needs: rival` names was made on other rows: give both the same data")
        over = paired_gain(by_subject(found["psnr"]), by_subject(rival["psnr"].double().numpy()))
        metrics |= {"psnr_over_rival": over.mean, "psnr_over_rival_low": over.low, "psnr_over_rival_high": over.high}
        metrics["psnr_over_rival_p"] = over.p
    metrics |= {"subjects": float(len(np.unique(subject))), "slices": float(len(subject))}
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan
