"""Imports run one way, and what a user only looks at loads nothing heavy (see also `test_cli.py`)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A room imports from its own floor and from those below it.
FLOORS = (
    {"lab.networks", "lab.diffusion", "lab.kernels", "lab.metrics", "lab.mri", "lab.data"},
    {"lab.papers"},
    {"lab.stages"},
    {"lab.sweeps", "lab.reports"},
    {"lab.commands"},
    {"lab.cli", "lab.__main__"},
)
# What every floor may use: the words of the house, and the contracts that papers and data sets are written against.
EVERYWHERE = {"lab", "lab.errors", "lab.env", "lab.registry", "lab.config"}
CONTRACTS = {f"lab.stages.{name}" for name in ("module", "artefact", "seeds", "load")}

MATHEMATICS = ("lab.networks", "lab.diffusion", "lab.kernels", "lab.metrics", "lab.mri")


def modules() -> dict[str, Path]:
    """Dotted name -> file, of all of lab."""
    found = {}
    for path in sorted((ROOT / "lab").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path, *, typing: bool = True) -> Iterator[str]:
    """Dotted names that a file imports, anywhere in it: modules, and of lab the file that a name comes from."""
    for node in walk(ast.parse(path.read_text()), typing):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def walk(tree: ast.AST, typing: bool) -> Iterator[ast.AST]:
    """All nodes, without the blocks `if TYPE_CHECKING:` on request."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if typing or not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from walk(child, typing)


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def floor(module: str) -> int | None:
    return next((height for height, rooms in enumerate(FLOORS) if room(module) in rooms), None)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module):
    own = floor(module)
    for imported in imports(MODULES[module]):
        if room(imported).split(".")[0] != "lab" or room(imported) in EVERYWHERE or own is None:
            continue
        if imported in CONTRACTS:
            continue
        theirs = floor(imported)
        assert theirs is not None, f"{imported} belongs to no floor: add its room to FLOORS"
        assert theirs <= own, f"{module} imports {imported} from above"


def test_every_file_belongs_to_a_room():
    lost = [m for m in MODULES if floor(m) is None and room(m) not in EVERYWHERE and m != "lab"]
    assert not lost


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith(MATHEMATICS)])
def test_mathematics_knows_no_framework(module):
    for imported in imports(MODULES[module]):
        assert not imported.startswith(("lightning", "pytorch_lightning", "lab.registry", "lab.stages", "lab.papers"))
        assert not imported.startswith("lab.config") or imported == "lab.config.fields"
        assert not imported.startswith("lab.data"), f"{module} knows a data set"


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("lab.papers")])
def test_papers_read_no_command_line_and_no_yaml(module):
    assert not {"argparse", "sys", "yaml", "omegaconf"} & {name.split(".")[0] for name in imports(MODULES[module])}


@pytest.mark.parametrize("module", [m for m in MODULES if m.rsplit(".", 1)[-1] == "config" and m != "lab.config"])
def test_options_import_nothing_heavy(module):
    heavy = {"torch", "lightning", "torchvision", "timm", "diffusers", "torchmetrics"}
    assert not heavy & {name.split(".")[0] for name in imports(MODULES[module], typing=False)}


def test_showing_an_experiment_loads_no_torch():
    code = (
        "import sys; from lab.cli import main; status = main(['show', 'ddb_shapes']); "
        "print(status, {'torch', 'lightning', 'diffusers', 'timm'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == "0 set()\n"
