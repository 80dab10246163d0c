"""Export predicted masks as NIfTI label maps on the grid of the image file."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark import paths, volume
from benchmark.boxes import slices
from benchmark.errors import UserError
from benchmark.files import write_json
from benchmark.geometry import row_shape
from benchmark.machine.progress import progress
from benchmark.masks import Mask
from benchmark.tables import parts, read_table, records


def export(run: Path, dataset: str, output: Path, *, variant: str = "") -> tuple[list[Path], int]:
    """Write ``<scan>.nii.gz`` and ``<scan>.json`` for each scan of a run.

    The label maps are uint16, with one value per object; the JSON file names the object, status and
    reason of each value. Only predictions at deviation 0 are exported. Where predictions overlap,
    the object that comes later in the table wins.

    ``run``: a folder below ``results/runs``. Returns the paths of the label maps, and the number of
    scans that were left out because the run has not predicted their shard yet. Raises `UserError`
    if there is no such run, dataset or variant.
    """
    folder = run / "masks" / dataset
    if not folder.is_dir():
        known = sorted(p.name for p in (run / "masks").glob("*"))
        raise UserError(
            f"No masks in {folder}. Datasets of this run: {', '.join(known) or 'none'}."
        )
    shards = parts(paths.table_folder(paths.IMAGES, dataset=dataset))
    # There may be more shards of masks, from when the dataset had more.
    there = [path for path in shards if (folder / path.name).exists()]
    if not there:
        raise UserError(f"{folder} holds no masks of a shard of {dataset}.")
    left_out = sum(len(read_table(path, ["scan"])) for path in shards if path not in there)
    images = pd.concat(read_table(path) for path in there)
    found = pd.concat(read_table(folder / path.name) for path in there)
    found = found[(found["variant"] == variant) & (found["deviation"] == 0)]
    if not len(found):
        raise UserError(f"No masks of the variant {variant!r} in {folder}.")
    written = [
        _export_scan(image, found[found["scan"] == image["scan"]], output)
        for image in progress(records(images), f"export {dataset}", "scan")
    ]
    return written, left_out


def _export_scan(image: dict[str, Any], rows: pd.DataFrame, output: Path) -> Path:
    shape = row_shape(image)
    labels = np.zeros(shape, dtype=np.uint16)
    names = {}
    for value, row in enumerate(records(rows), start=1):
        names[value] = {"object": row["object"], "status": row["status"], "reason": row["reason"]}
        if row["status"] == "ok":
            mask = Mask.from_row(row, shape)
            labels[slices(mask.box)][mask.crop] = value
    grid = volume.read_header(Path(image["images"][0])).native
    path = output / f"{image['scan']}.nii.gz"
    volume.write(labels, grid, path)
    write_json(output / f"{image['scan']}.json", names)
    return path
