"""The paths of all artefacts, whose folder names follow the data flow.

The constants are patterns for `str.format`, relative to the working directory; the Snakefile uses
them unchanged, with the fields as wildcards. A folder ``NAME.parquet`` holds the shards of one
table.
"""

from pathlib import Path

DATA = "data"
RESULTS = "results"

STATUS = f"{DATA}/{{dataset}}/raw/status.json"
WEIGHTS_STATUS = f"{DATA}/weights/{{weights}}/status.json"
PREPARED = f"{DATA}/{{dataset}}"
"""Folder of a dataset's tables, each of which is a folder of shards."""
CONVERTED = f"{DATA}/{{dataset}}/converted"
IMAGES = f"{DATA}/{{dataset}}/images.parquet/{{shard}}.parquet"
OBJECTS = f"{DATA}/{{dataset}}/objects.parquet/{{shard}}.parquet"
REFERENCE = f"{DATA}/{{dataset}}/reference.parquet/{{shard}}.parquet"
SET_ASIDE = f"{DATA}/{{dataset}}/failures.parquet/{{shard}}.parquet"

SETTINGS = f"{RESULTS}/{{of}}/settings.json"
PROMPTS = f"{RESULTS}/prompts/{{rules}}/{{dataset}}/{{shard}}.parquet"
SPLIT = f"{RESULTS}/splits/{{seed}}/{{dataset}}.json"
PLAN = f"{RESULTS}/models/{{fit}}/{{model}}/plan.json"
MODEL = f"{RESULTS}/models/{{fit}}/{{model}}/status.json"
MASKS = f"{RESULTS}/runs/{{run}}/masks/{{dataset}}/{{shard}}.parquet"
TIMES = f"{RESULTS}/runs/{{run}}/times/{{dataset}}/{{shard}}.parquet"
SCORES = f"{RESULTS}/runs/{{run}}/scores-{{scoring}}/{{dataset}}/{{shard}}.parquet"

STUDY = f"{RESULTS}/{{study}}"
"""Folder of a study.

It holds settings.json, scores.parquet, times.parquet, failures.parquet, record.json, statistics/,
tables/, figures/ and report.html.
"""
CHECK_LOG = f"{RESULTS}/logs/{{study}}/check.log"
"""Output of the check of the loss budget, the last step of a study."""


def at(pattern: str, /, **fields: object) -> Path:
    """Return the path of a pattern with ``fields`` filled in."""
    return Path(pattern.format(**fields))


def table_folder(pattern: str, /, **fields: object) -> Path:
    """Return the folder of the shards that a pattern with the field ``shard`` names."""
    return at(pattern, **fields, shard=0).parent


def raw_folder(dataset: str) -> Path:
    """Return the folder of a dataset's files as they were fetched, and of their status."""
    return at(STATUS, dataset=dataset).parent


def weights_folder(weights: str) -> Path:
    """Return the folder of the files of weights, and of their status."""
    return at(WEIGHTS_STATUS, weights=weights).parent


def attempts_file(output: Path) -> Path:
    """Return the file that records on which scans a job died, given the job's ``output``."""
    return output.with_suffix(".attempts")


def parts_folder(masks: Path) -> Path:
    """Return the folder of the finished scans of a shard, given its file of ``masks``."""
    return masks.with_suffix(".parts")
