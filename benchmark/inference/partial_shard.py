"""Rows of a shard that is being predicted, kept on disk so that a job which is cut off can resume.

They lie in files of whole scans beside the shard's own file, and are deleted when that is complete.
"""

import inspect
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import pyarrow as pa

from benchmark.errors import UserError
from benchmark.machine.claim import state_of
from benchmark.methods import own_source
from benchmark.methods.registry import find
from benchmark.specs import Run
from benchmark.storage.digest import code, digest, stable_hash
from benchmark.storage.record import run_record
from benchmark.storage.tables import read_arrow, read_record, write_table

EVERY_S = 60.0
"""Seconds after which finished scans are written: short jobs write none, long ones few files."""


def key_of(run: Run, inputs: Iterable[Path | None], device: Mapping[str, Any]) -> str:
    """Return a digest of all that the rows of a shard depend on.

    ``inputs``: files of the job, taken by times and sizes; ``device``: facts of it. Of the machine
    nothing else counts, because a cluster may start the next job on another node.
    """
    method = find(run.adapter)
    software = {k: v for k, v in run_record().items() if k not in ("system", "processor")}
    own_code = code(Path(inspect.getfile(method)))
    outside = method(run.options).external_state()
    return digest([state_of(inputs), software, own_code, outside, dict(device)])


class ScanRows(NamedTuple):
    """Rows of a scan for the tables of masks and of times."""

    masks: list[dict[str, Any]]
    times: list[dict[str, Any]]


class PartialShard:
    """The finished scans of a shard.

    - ``schema``: of the rows of masks.
    - ``folder``: of the files; None keeps nothing.
    - ``key``: digest of all that the rows depend on; files with another key are not read.
    - ``adapter``: the method. Files that it made before a module of a user's method was edited are
      not read. A key cannot tell: it is made before the method imports what it needs.
    """

    def __init__(
        self, schema: pa.Schema, folder: Path | None = None, key: str = "", adapter: str = ""
    ) -> None:
        """Read the scans that earlier jobs have finished; a damaged file is reported, not read."""
        self._schema, self._folder, self._key = schema, folder, key
        self._adapter = adapter
        self._source = own_source.loaded_source(adapter) if adapter else {}
        self._finished: dict[str, ScanRows] = {}
        self._unwritten = ScanRows([], [])
        self._written_at = monotonic()
        for path in sorted(folder.glob(f"{key}-*.parquet")) if folder else ():
            try:
                masks, record = read_arrow(path).to_pylist(), read_record(path)
            except UserError:
                print(f"{path} is damaged; its scans are predicted again", file=sys.stderr)
                continue
            source = record[own_source.RECORDED]
            if edited := own_source.edited_since(adapter, source) if source else ():
                names = ", ".join(edited)
                print(f"{names} was edited; scans are predicted again", file=sys.stderr)
                continue
            for row in masks:
                self._finished.setdefault(row["scan"], ScanRows([], [])).masks.append(row)
            for row in record["times"]:
                self._finished[row["scan"]].times.append(row)
        if self._finished:
            print(f"Scans that an earlier job has finished: {len(self._finished)}", file=sys.stderr)

    def finished(self, scan: str) -> ScanRows | None:
        """Return the rows of a scan that an earlier job has finished; None if there are none."""
        return self._finished.get(scan)

    def add(self, rows: ScanRows, *, at_once: bool = False) -> None:
        """Keep the rows of a finished scan; write them ``at_once``, or every `EVERY_S`.

        Raises `MachineError` if the disk is full.
        """
        if self._folder is None:
            return
        self._unwritten.masks.extend(rows.masks)
        self._unwritten.times.extend(rows.times)
        if not at_once and monotonic() - self._written_at < EVERY_S:
            return
        first = stable_hash(self._unwritten.masks[0]["scan"])
        path = self._folder / f"{self._key}-{first:016x}.parquet"
        if self._adapter:  # as each file was when it was first seen, which is what was imported
            self._source = own_source.loaded_source(self._adapter) | self._source
        facts = {"times": self._unwritten.times, own_source.RECORDED: self._source}
        write_table(self._unwritten.masks, self._schema, path, facts=facts)
        self._unwritten = ScanRows([], [])
        self._written_at = monotonic()

    def forget(self) -> None:
        """Delete the files, also those with other keys: the shard is complete."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
