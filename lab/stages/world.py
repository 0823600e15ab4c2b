"""Which process of how many this is, and how to start the others."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from tempfile import TemporaryFile
from typing import Any

from lab.errors import UserError

LONG = timedelta(days=7)
"""Ranks may wait for rank 0 while it waits for another run that trains a shared stage."""


@dataclass(frozen=True)
class World:
    """rank and size over all nodes; local_rank on this one."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0


def started_by_launcher() -> bool:
    """Whether torchrun, srun or `launch` below started this process as one of several.

    SLURM_NTASKS would not do: a batch script has it, too, without being one of those tasks.
    """
    return "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1


def launch(processes: int, command: Sequence[str]) -> int:
    """Run `command` once per device on this machine, wired as torchrun wires it, and return its exit status.

    Signals are handed on; when one process fails, the others are ended and its status is the result. Only rank 0 talks
    to the terminal; what another one had to say is shown when that one failed for a reason of its own.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "TORCHELASTIC_RUN_ID": "lab",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "GROUP_RANK": "0",
    }
    with ExitStack() as stack:
        said = [None, *(stack.enter_context(TemporaryFile()) for _ in range(1, processes))]
        children = [
            subprocess.Popen(
                [*command],
                env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stderr=said[rank],
                preexec_fn=end_with_parent,
            )
            for rank in range(processes)
        ]

        def hand_on(signum: int, _: Any) -> None:
            for child in children:
                if child.poll() is None:
                    child.send_signal(signum)

        before = {signum: signal.signal(signum, hand_on) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            while not (failed := _failed(children)) and any(child.returncode is None for child in children):
                time.sleep(0.05)
            _end(children)
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
        # Those that lost their peer fail soon after it, with an internal error (status 1).
        first = min(failed, key=lambda rank: (children[rank].returncode == 1, rank), default=0)
        status, words = children[first].returncode, said[first]
        if words is not None and (status != children[0].returncode or status == 1):
            words.seek(0)
            sys.stderr.write(words.read().decode(errors="replace"))
    if status < 0:
        name = signal.Signals(-status).name
        print(f"lab: error: process {first} of {processes} was ended by {name}", file=sys.stderr)
    return 128 - status if status < 0 else int(status)


def end_with_parent() -> None:
    """Ask Linux for a SIGTERM when the launcher is killed, so that no rank goes on alone and holds a lock."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG


def _failed(children: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Ranks that ended with an error so far."""
    return [rank for rank, child in enumerate(children) if child.poll()]


def _end(children: Sequence[subprocess.Popen[bytes]], patience: float = 20.0) -> None:
    """Give those that still run time to stop by themselves (they got the same signal or lost their peer), then kill."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and any(child.poll() is None for child in children):
        time.sleep(0.05)
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()


def join(devices: int, nodes: int) -> World:
    """Meet the other processes, if a launcher started this one; alone otherwise.

    Raises:
        UserError: the launcher started another number of processes than `devices * nodes`.
    """
    if not started_by_launcher():
        return World()
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    environment = TorchElasticEnvironment() if torchrun else SLURMEnvironment(auto_requeue=False)
    world = World(environment.global_rank(), environment.local_rank(), environment.world_size())
    if world.size != devices * nodes:
        raise UserError(
            f"{world.size} processes were started but trainer.devices={devices} and trainer.nodes={nodes} "
            f"ask for {devices * nodes}; make them agree"
        )
    import torch
    import torch.distributed as dist

    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
    if not dist.is_initialized():
        backend = "cuda:nccl,cpu:gloo" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, rank=world.rank, world_size=world.size, timeout=LONG)
    return world


def agree(value: Any, world: World) -> Any:
    """Rank 0's value, on every rank."""
    if world.size == 1:
        return value
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0, device=_cpu())
    return box[0]


def agree_any(flag: int, world: World) -> int:
    """The largest of the ranks' values."""
    if world.size == 1:
        return flag
    import torch
    import torch.distributed as dist

    tensor = torch.tensor([flag])
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return int(tensor.item())


def barrier(world: World) -> None:
    """Wait for all ranks."""
    agree_any(0, world)


def _cpu() -> Any:
    import torch

    return torch.device("cpu")


def this_command() -> list[str]:
    """The command line that started this process, to be run again."""
    return [sys.executable, "-m", "lab", *sys.argv[1:]]
