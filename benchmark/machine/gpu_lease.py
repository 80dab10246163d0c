"""One GPU per job: a file lock per GPU, held while the job computes.

``--resources gpu=4`` only limits how many jobs run at once; Snakemake assigns no GPU to any of
them. So each job takes the first visible GPU whose lock is free, before torch is imported, and
hides the others. The kernel releases the lock when the process ends, even by SIGKILL. Locks are
named by the UUID of the GPU, because indices are renumbered in a process that sees only some GPUs.

Where a GPU is divided by MIG, each part of it counts as a GPU.

The same holds on a cluster, where Snakemake itself may run in an allocation all of whose jobs see
the same GPUs. Only a single device that a cluster assigned under an index, with no driver to tell
its UUID, is not locked.
"""

import fcntl
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError
from benchmark.machine.own_lock import held
from benchmark.storage.disk import writing

LOCKS = "PAMBENCH_GPU_LOCKS"
"""Environment variable: folder of the locks, local to the machine.

The default is one folder per user in the temporary folder.
"""
WAIT = "PAMBENCH_GPU_WAIT"
"""Environment variable: seconds to wait for a GPU before giving up (default 86,400)."""
SCHEDULERS = ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST")
"""Environment variables whose presence means that a cluster assigned the visible devices."""

_QUERY = ["nvidia-smi", "-L"]
_LISTED = re.compile(r"^(?:GPU (\d+):|\s+MIG ).*\(UUID: ([^)]+)\)", re.MULTILINE)
_UUID = ("GPU-", "MIG-")
_REPORT_EVERY_S = 60.0


@dataclass(frozen=True)
class Gpu:
    """A GPU, or its part by MIG, by its UUID or else its name in ``CUDA_VISIBLE_DEVICES``."""

    id: str

    def lock(self, folder: Path) -> Path:
        """Return the lock file of the GPU."""
        return folder / f"{self.id.replace('/', '-')}.lock"


def visible(environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """List the GPUs that this process may use; indices follow the order of the PCI bus."""
    uuids = _uuids()
    every = [uuid for parts in uuids.values() for uuid in parts]
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return list(map(Gpu, every))
    found: list[str] = []
    for name in filter(None, map(str.strip, named.split(","))):
        if name.startswith(_UUID):  # CUDA takes its beginning too
            found.append(next((uuid for uuid in every if uuid.startswith(name)), name))
        elif name.isdigit() and (name in uuids or not uuids):
            found += uuids.get(name, [name])
        else:
            break  # as in CUDA: devices after an invalid one, such as -1, are not visible
    return list(map(Gpu, found))


def _uuids() -> dict[str, list[str]]:
    """Return by index on the PCI bus the UUID of each GPU, or those of its parts.

    Without a driver there are none.
    """
    try:
        listed = subprocess.run(_QUERY, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return {}
    found: dict[str, list[str]] = {}
    for index, uuid in _LISTED.findall(listed.stdout):
        if index:
            found[index] = own = [uuid]
        else:  # a part of the GPU before it, which is itself not used then
            own.append(uuid)
    return {index: own[1:] or own for index, own in found.items()}


@contextmanager
def lease(purpose: str) -> Iterator[Gpu | None]:
    """Reserve a free GPU for this process and hide the others; yield None without any.

    ``purpose``: what processes that wait are told about the holder. Raises `UserError` if no GPU
    became free in time, or if torchrun started more processes than there are GPUs. Enter before
    torch is imported: CUDA reads the environment once.
    """
    gpus = visible()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if 0 < len(gpus) < processes:
        raise UserError(
            f"The training is on {processes} GPUs, and {len(gpus)} can be seen here: "
            f"{', '.join(gpu.id for gpu in gpus)}. Nothing was trained. Next step: set `gpus` in "
            "the options of the method, or run where as many are visible (CUDA_VISIBLE_DEVICES, "
            "or what the cluster assigns)."
        )
    if not gpus or (_assigned() and len(gpus) == 1 and not gpus[0].id.startswith(_UUID)):
        yield None
        return
    gpu, lock = _take(gpus, purpose)
    chosen = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": gpu.id}
    before = {name: os.environ.pop(name) for name in chosen if name in os.environ}
    os.environ.update(chosen)
    with held(lock):
        try:
            yield gpu
        finally:
            for name in chosen:
                os.environ.pop(name, None)  # a method may have deleted it
            os.environ.update(before)


@contextmanager
def lease_unlisted(purpose: str, count: int) -> Iterator[None]:
    """Reserve together all ``count`` GPUs that torch sees although none is `visible`.

    So jobs that would all choose the first of them run one after another. Those that a cluster
    assigned are not reserved. Otherwise as `lease`.
    """
    if _assigned():
        yield
        return
    every = ",".join(map(str, range(count)))
    print(
        "nvidia-smi lists no GPU, though torch can use one: jobs that need a GPU run one after "
        f"another. For one job per GPU: export CUDA_VISIBLE_DEVICES={every}",
        file=sys.stderr,
    )
    _, lock = _take([Gpu("unlisted")], purpose)
    with held(lock):
        yield


def _assigned() -> bool:
    """Return whether a cluster assigned the visible devices."""
    return any(name in os.environ for name in SCHEDULERS)


def _take(gpus: list[Gpu], purpose: str) -> tuple[Gpu, int]:
    """Return the first GPU that is or becomes free, and the open file that holds its lock."""
    folder = _folder()
    limit = _limit_s()
    waited, reported = 0.0, -_REPORT_EVERY_S
    while True:
        for gpu in gpus:
            if (lock := _try(gpu.lock(folder), purpose)) is not None:
                return gpu, lock
        holders = "; ".join(f"{gpu.id}: {_holder(gpu.lock(folder))}" for gpu in gpus)
        if waited >= limit:
            raise UserError(
                f"No GPU became free within {limit:.0f} s; expected one of {len(gpus)}. {holders}. "
                "More jobs that need a GPU run than there are GPUs, or one of them hangs: give "
                f"--resources gpu={len(gpus)}, end what hangs, or raise {WAIT}."
            )
        if waited - reported >= _REPORT_EVERY_S:
            print(f"waiting for a GPU since {waited:.0f} s; {holders}", file=sys.stderr)
            reported = waited
        step = min(random.uniform(0.5, 2.0), limit - waited)
        time.sleep(step)
        waited += step


def _limit_s() -> float:
    given = os.environ.get(WAIT, "86400")
    try:
        return float(given)
    except ValueError:
        raise UserError(f"{WAIT} has to be a number of seconds, got {given!r}.") from None


def _folder() -> Path:
    named = os.environ.get(LOCKS)
    folder = Path(named or Path(tempfile.gettempdir()) / f"pambench-gpus-{os.getuid()}")
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(
            f"The folder of the GPU locks, {folder}, belongs to another user; "
            f"name one of your own in {LOCKS}."
        )
    return folder


def _try(path: Path, purpose: str) -> int | None:
    """Lock the file and write the holder into it; None if another process holds the lock."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    os.ftruncate(lock, 0)
    os.write(lock, json.dumps({"pid": os.getpid(), "purpose": purpose}).encode())
    return lock


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"{holder['purpose']} (process {holder['pid']})"
    except (OSError, ValueError, KeyError):
        return "a process that has just taken it"
