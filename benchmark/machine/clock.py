"""Repair file times that are ahead of the clock, as after a wrong clock was corrected.

Snakemake fails each job whose input is newer than its output, so nothing could be made from such
files until the clock has caught up.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmark.storage.paths import DATA, RESULTS

_STEP_NS = 1000


def reset_future_times(root: Path) -> str | None:
    """Set times of the workflow's files that are ahead of the clock to now; return a report.

    ``root``: the folder in which the workflow runs. The files keep their order, which decides what
    is made again. Returns None if no file was ahead.
    """
    now = time.time_ns()
    ahead = {path: at for path in _written(root) if (at := path.stat().st_mtime_ns) > now}
    if not ahead:
        return None
    ranks = {at: rank for rank, at in enumerate(sorted(set(ahead.values()), reverse=True))}
    for path, at in ahead.items():
        back = now - ranks[at] * _STEP_NS
        os.utime(path, ns=(back, back))
    first, most = max(ahead.items(), key=lambda item: item[1])
    return (
        f"{len(ahead)} files had times ahead of this machine's clock, {first} by "
        f"{(most - now) / 1e9:.0f} s. They were set to now. Likely cause: a clock that was wrong."
    )


def _written(root: Path) -> Iterator[Path]:
    yield from (root / DATA).glob("*/*.parquet/*.parquet")
    yield from (root / DATA).glob("*/raw/status.json")
    yield from (root / DATA / "weights").glob("*/status.json")
    for folder, below, names in os.walk(root / RESULTS):
        below[:] = [name for name in below if name != "logs"]
        yield from (Path(folder) / name for name in names)
