"""How fast and how small kernel methods are, on features as a deep network gives them.

    python -m benchmarks.falkon --sections fit grid stream --out benchmarks/results/falkon.json

generates problems, fits every engine in a process of its own (so that peak memory is that of the engine), and prints
seconds, accuracy on other rows, peak memory above the data, the ratios to `lab.kernels.Falkon`, and the floor: the time
that the products of the cheaper route take at the GEMM rates measured in the same run. Engines that are not installed
are left out.

`fit`: three problems. `grid`: 5 sigmas x 7 penalties against one fit a sigma. `stream`: rows in a file, read block by
block under a budget.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import numpy as np
import torch

from lab.kernels import Falkon, median_distance, solve_grid

ENGINES = ("lab", "falkon", "nystroem_ridge", "kernel_ridge")
PROBLEMS = ((20_000, 50, 2_000), (50_000, 100, 5_000), (10_000, 50, 2_000))
"""Rows, classes, centres."""

MOST_EXACT_ROWS = 10_000
"""Kernel ridge regression keeps n x n values."""

ITERATIONS = 14
"""Of conjugate gradients in the floor: what the problems take to a residual of 1e-4."""


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.job:
        print(json.dumps(JOBS[options.job["section"]](options.job)))
        return 0
    rates = measured_rates()
    print("rates: " + ", ".join(f"{name} {value:.3g}" for name, value in rates.items()), flush=True)
    result: dict[str, Any] = {"machine": machine(), "rates": rates}
    with TemporaryDirectory(dir=options.scratch) as folder:
        for section in options.sections:
            result[section] = SECTIONS[section](options, Path(folder), rates)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sections", nargs="+", choices=tuple(SECTIONS), default=tuple(SECTIONS))
    add("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    add("--problems", type=problem, nargs="+", default=PROBLEMS, help="rows,classes,centres of `fit`")
    add("--dimensions", type=int, default=1280, help="columns of `fit` and `grid`")
    add("--test-rows", type=int, default=5_000)
    add("--penalty", type=float, default=1e-6)
    add("--grid", type=problem, default=PROBLEMS[0], help="rows,classes,centres of `grid`")
    add("--stream", type=problem, default=(1_000_000, 10, 4_000), help="rows,classes,centres of `stream`")
    add("--stream-dimensions", type=int, default=512)
    add("--memory", default="1.75GiB", help="budget of `stream`")
    add("--threads", type=int, help="CPU threads")
    add("--scratch", type=Path, help="folder for generated rows; default: the system's")
    add("--out", type=Path, help="JSON file")
    add("--job", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def problem(text: str) -> tuple[int, int, int]:
    rows, classes, centres = (int(part) for part in text.split(","))
    return rows, classes, centres


class Mixture:
    """Rows like penultimate features: classes of several Gaussian clusters each in a latent space of 48 dimensions,
    seen through two random layers with ReLU, and a little noise on every column."""

    def __init__(self, classes: int, dimensions: int, seed: int = 0, clusters: int = 6, latent: int = 48):
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator)

        self.classes, self.clusters = classes, clusters
        self.centres = normal(classes * clusters, latent)
        self.layers = normal(latent, 256) / latent**0.5, normal(256, dimensions) / 16

    def rows(self, n: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Features (n, d) float32 and labels (n,) int64."""
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(self.classes, (n,), generator=generator)
        cluster = labels * self.clusters + torch.randint(self.clusters, (n,), generator=generator)
        latent = self.centres[cluster] + 1.15 * torch.randn(n, self.centres.shape[1], generator=generator)
        features = torch.relu(torch.relu(latent @ self.layers[0]) @ self.layers[1])
        features += 0.05 * torch.randn(features.shape, generator=generator)
        return features.numpy(), labels.numpy()


def write_problem(folder: Path, size: tuple[int, int, int], dimensions: int, test_rows: int) -> dict[str, Any]:
    """Training and test rows as .npy files, sigma, and the numbers of the centres: the same for all engines."""
    n, classes, M = size
    mixture = Mixture(classes, dimensions)
    X, y = mixture.rows(n, 1)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    X_test, y_test = mixture.rows(test_rows, 2)
    np.save(folder / "X_test.npy", X_test)
    np.save(folder / "y_test.npy", y_test)
    order = np.random.default_rng(0).permutation(n)
    np.save(folder / "centres.npy", X[order[:M]])
    sigma = median_distance(torch.from_numpy(X[order[:2000]]))
    return {"folder": str(folder), "sigma": sigma, "n": n, "classes": classes, "M": M, "d": dimensions}


def fit_section(options: argparse.Namespace, folder: Path, rates: dict[str, float]) -> list[dict[str, Any]]:
    rows = []
    for size in options.problems:
        job = write_problem(folder, size, options.dimensions, options.test_rows)
        bound = floor(size, options.dimensions, rates)
        print(f"n={size[0]} C={size[1]} M={size[2]} d={options.dimensions}: floor {bound:.2f} s", flush=True)
        ours: dict[str, Any] = {}
        for engine in options.engines:
            if engine == "falkon" and find_spec("falkon") is None:
                print(f"{engine:>15}: not installed", flush=True)
                continue
            if engine == "kernel_ridge" and size[0] > MOST_EXACT_ROWS:
                continue
            row = run(options, {**job, "section": "fit", "engine": engine, "penalty": options.penalty})
            ours = row if engine == "lab" else ours
            row |= {"n": size[0], "classes": size[1], "M": size[2], "d": options.dimensions, "floor": bound}
            row["times_floor"] = row["seconds"] / bound
            row["times_ours"] = row["seconds"] / ours["seconds"] if ours else None
            rows.append(row)
            ratio = f" ({row['times_ours']:.1f} x ours)" if ours and engine != "lab" else ""
            print(
                f"{engine:>15}: {row['seconds']:8.2f} s = {row['times_floor']:5.2f} x floor{ratio}, accuracy "
                f"{row['accuracy']:.4f}, {row['peak'] / 1e6:7.0f} MB above the data {row.get('how', '')}",
                flush=True,
            )
    return rows


def grid_section(options: argparse.Namespace, folder: Path, rates: dict[str, float]) -> dict[str, Any]:
    job = write_problem(folder, options.grid, options.dimensions, options.test_rows)
    row = run(options, {**job, "section": "grid", "penalty": options.penalty})
    print(
        f"grid of 5 x 7: {row['seconds']:.2f} s, 5 single fits {row['single_fits']:.2f} s: {row['ratio']:.2f} x, best "
        f"{row['best']}, validation accuracy {row['score']:.4f}",
        flush=True,
    )
    return row


def stream_section(options: argparse.Namespace, folder: Path, rates: dict[str, float]) -> dict[str, Any]:
    n, classes, M = options.stream
    d = options.stream_dimensions
    mixture = Mixture(classes, d)
    mapped = np.lib.format.open_memmap(folder / "X.npy", mode="w+", dtype=np.float32, shape=(n, d))
    labels = np.empty(n, np.int64)
    for number, start in enumerate(range(0, n, 50_000)):
        stop = min(start + 50_000, n)
        mapped[start:stop], labels[start:stop] = mixture.rows(stop - start, 10 + number)
    mapped.flush()
    del mapped
    np.save(folder / "y.npy", labels)
    X_test, y_test = mixture.rows(options.test_rows, 2)
    np.save(folder / "X_test.npy", X_test)
    np.save(folder / "y_test.npy", y_test)
    job = {"section": "stream", "folder": str(folder), "M": M, "penalty": options.penalty, "memory": options.memory}
    row = run(options, job) | {"n": n, "d": d, "M": M, "classes": classes}
    row["floor"] = floor(options.stream, d, rates)
    print(
        f"n={n} d={d} M={M} from a file: {row['seconds']:.1f} s = {row['seconds'] / row['floor']:.2f} x floor, "
        f"accuracy {row['accuracy']:.4f}, {row['peak'] / 1e6:.0f} MB above the file {row['how']}",
        flush=True,
    )
    return row


SECTIONS = {"fit": fit_section, "grid": grid_section, "stream": stream_section}


def run(options: argparse.Namespace, job: dict[str, Any]) -> dict[str, Any]:
    """A job in a fresh process; its last line of output is its result."""
    command = [sys.executable, "-m", "benchmarks.falkon", "--job", json.dumps(job)]
    command += ["--threads", str(torch.get_num_threads())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def fit_job(job: dict[str, Any]) -> dict[str, Any]:
    X, y, X_test, y_test, centres = (load(job, name) for name in ("X", "y", "X_test", "y_test", "centres"))
    fit, predict = globals()[f"engine_{job['engine']}"](job, centres)
    fit(X[: 2 * job["classes"]], np.arange(2 * job["classes"]) % job["classes"], True)  # libraries start their threads
    with Peak() as peak:
        start = time.perf_counter()
        how = fit(X, y, False)
        seconds = time.perf_counter() - start
    accuracy = float((predict(X_test) == y_test).mean())
    return {"engine": job["engine"], "seconds": seconds, "accuracy": accuracy, "peak": peak.bytes, **how}


Fit = Callable[[np.ndarray[Any, Any], np.ndarray[Any, Any], bool], dict[str, Any]]
Predict = Callable[[np.ndarray[Any, Any]], Any]


def engine_lab(job: dict[str, Any], centres: np.ndarray[Any, Any]) -> tuple[Fit, Predict]:
    model = Falkon(sigma=job["sigma"], penalty=job["penalty"])

    def fit(X: np.ndarray[Any, Any], y: np.ndarray[Any, Any], small: bool) -> dict[str, Any]:
        model.set_params(centres=X if small else centres).fit(X, y)
        return {"how": f"[{model.route_}]", "ledger": model.ledger_, "iterations": model.iterations_}

    return fit, model.predict


def engine_falkon(job: dict[str, Any], centres: np.ndarray[Any, Any]) -> tuple[Fit, Predict]:
    falkon = import_module("falkon")  # not this file
    fitted = {}

    def fit(X: np.ndarray[Any, Any], y: np.ndarray[Any, Any], small: bool) -> dict[str, Any]:
        chosen = torch.from_numpy(X if small else centres)
        fitted["model"] = falkon.Falkon(
            kernel=falkon.kernels.GaussianKernel(job["sigma"]),
            penalty=job["penalty"],
            M=len(chosen),
            center_selection=falkon.center_selection.FixedSelector(chosen),
            maxiter=20,
            options=falkon.FalkonOptions(use_cpu=True, keops_active="no"),
        ).fit(torch.from_numpy(X), torch.from_numpy(signs(y, job["classes"])))
        return {}

    return fit, lambda X: fitted["model"].predict(torch.from_numpy(X)).argmax(1).numpy()


def engine_nystroem_ridge(job: dict[str, Any], centres: np.ndarray[Any, Any]) -> tuple[Fit, Predict]:
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(Nystroem(gamma=0.5 / job["sigma"] ** 2, random_state=0), RidgeClassifier())

    def fit(X: np.ndarray[Any, Any], y: np.ndarray[Any, Any], small: bool) -> dict[str, Any]:
        components = len(X) if small else job["M"]
        model.set_params(nystroem__n_components=components, ridgeclassifier__alpha=job["penalty"] * len(X)).fit(X, y)
        return {}

    return fit, model.predict


def engine_kernel_ridge(job: dict[str, Any], centres: np.ndarray[Any, Any]) -> tuple[Fit, Predict]:
    from sklearn.kernel_ridge import KernelRidge

    model = KernelRidge(kernel="rbf", gamma=0.5 / job["sigma"] ** 2)

    def fit(X: np.ndarray[Any, Any], y: np.ndarray[Any, Any], small: bool) -> dict[str, Any]:
        model.set_params(alpha=job["penalty"] * len(X)).fit(X, signs(y, job["classes"]))
        return {}

    return fit, lambda X: model.predict(X).argmax(1)


def signs(labels: np.ndarray[Any, Any], classes: int) -> np.ndarray[Any, Any]:
    return np.where(labels[:, None] == np.arange(classes), 1, -1).astype(np.float32)


def grid_job(job: dict[str, Any]) -> dict[str, Any]:
    X, y, X_test, y_test = (load(job, name) for name in ("X", "y", "X_test", "y_test"))
    held_out = np.arange(len(X)) % 5 == 0
    X, y, X_held, y_held = X[~held_out], y[~held_out], X[held_out], y[held_out]
    sigmas = [factor * job["sigma"] for factor in (0.25, 0.5, 1, 2, 4)]
    base = Falkon(M=job["M"], penalty=job["penalty"])
    Falkon(M=100).fit(X[:500], y[:500])  # libraries start their threads
    single = 0.0
    for sigma in sigmas:
        start = time.perf_counter()
        base.set_params(sigma=sigma).fit(X, y)
        single += time.perf_counter() - start
    start = time.perf_counter()
    penalties = [10.0**-power for power in range(3, 10)]
    result = solve_grid(base, X, y, X_held, y_held, sigmas=sigmas, penalties=penalties)
    seconds = time.perf_counter() - start
    sigma, penalty = result.best
    final = base.set_params(sigma=sigma, penalty=penalty).fit(X, y)
    return {
        "seconds": seconds,
        "single_fits": single,
        "ratio": seconds / single,
        "best": [float(sigma), penalty],
        "score": float(result.scores.max()),
        "scores": result.scores.tolist(),
        "accuracy": final.score(X_test, y_test),
        "ledger": result.ledger,
    }


def stream_job(job: dict[str, Any]) -> dict[str, Any]:
    X = np.load(Path(job["folder"]) / "X.npy", mmap_mode="r")
    y, X_test, y_test = (load(job, name) for name in ("y", "X_test", "y_test"))
    model = Falkon(M=job["M"], penalty=job["penalty"], memory=job["memory"])

    def bar(phase: str, done: int, of: int) -> None:
        print(f"\r{phase}: {done}/{of} rows ", end="", file=sys.stderr)

    with Peak() as peak:
        start = time.perf_counter()
        model.fit(X, y, progress=bar)
        seconds = time.perf_counter() - start
    print(file=sys.stderr)
    return {
        "seconds": seconds,
        "accuracy": model.score(X_test, y_test),
        "peak": peak.bytes,
        "how": f"[{model.route_}]",
        "ledger": model.ledger_,
    }


JOBS = {"fit": fit_job, "grid": grid_job, "stream": stream_job}


def load(job: dict[str, Any], name: str) -> np.ndarray[Any, Any]:
    return np.load(Path(job["folder"]) / f"{name}.npy")  # type: ignore[no-any-return]


class Peak:
    """Most anonymous memory (no pages of mapped files) while the block runs, above that at its start; in bytes."""

    def __enter__(self) -> Peak:
        self._start = self._now()
        self.bytes = 0
        self._over = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self.bytes = max(self.bytes, self._now() - self._start)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @staticmethod
    def _now() -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        return 0


def floor(size: tuple[int, int, int], d: int, rates: dict[str, float]) -> float:
    """Seconds that the necessary products take: K_nM once, its exponentials, then the cheaper of conjugate gradients
    (14 iterations, two factors and a product in float64) and half of the Gram matrix with one factor."""
    n, C, M = size
    kernel = 2 * n * M * d / rates["float32_flops"] + n * M / rates["exponentials"]
    iterations = ITERATIONS * 4 * n * M * C / rates["float32_flops"] + (4 / 3) * M**3 / rates["float64_flops"]
    gram = n * M**2 / rates["float32_flops"] + M**3 / 3 / rates["float64_flops"]
    return float(kernel + min(iterations, gram))


def measured_rates() -> dict[str, float]:
    """Operations a second on this machine now: the best of several short runs."""
    rates = {}
    for name, dtype in (("float32_flops", torch.float32), ("float64_flops", torch.float64)):
        a, b = torch.rand(2048, 1280, dtype=dtype), torch.rand(1280, 2048, dtype=dtype)
        rates[name] = 2 * 2048 * 1280 * 2048 / best(lambda a=a, b=b: a @ b)  # type: ignore[misc]
    block = -torch.rand(2048, 2048)
    rates["exponentials"] = block.numel() / best(lambda: block.exp_().neg_())
    return rates


def best(function: Callable[[], object], times: int = 8) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def machine() -> dict[str, Any]:
    import sklearn

    return {
        "processor": platform.processor() or platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
    }


if __name__ == "__main__":
    raise SystemExit(main())
