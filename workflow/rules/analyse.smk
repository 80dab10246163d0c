# All shards of the study -> its long-format tables -> the statistics.

import benchmark
from benchmark.storage.digest import code, digest

# Metadata of datasets and weights (licences, citations, training data) is part of no earlier stage's
# digest. Everything from here on is cheap, and is rerun when its code changes.
METADATA = digest(
    [entry.model_dump(mode="json") for entry in (*DATASETS.values(), *WEIGHTS.values())]
)
STATISTICS_CODE = code(
    *(
        Path(benchmark.__file__).with_name(name)
        for name in (
            "analysis",
            "collecting",
        )
    )
)

SPLITS = [paths.SPLIT.format(seed=STUDY.seed, dataset=name) for name in DATASETS]


rule collect:
    input:
        settings=f"{STUDY_FOLDER}/settings.json",
        status=[paths.STATUS.format(dataset=name) for name in DATASETS],
        images=shards(paths.IMAGES),
        objects=shards(paths.OBJECTS),
        set_aside=shards(paths.SET_ASIDE),
        scores=[
            path
            for run in METHOD_RUNS
            for path in shards(paths.SCORES, run=run, scoring=STUDY.scoring.id)
        ],
        times=[path for run in METHOD_RUNS for path in shards(paths.TIMES, run=run)],
        splits=SPLITS if STUDY.splits_patients else [],
    output:
        scores=f"{STUDY_FOLDER}/scores.parquet",
        times=f"{STUDY_FOLDER}/times.parquet",
        images=f"{STUDY_FOLDER}/images.parquet",
        objects=f"{STUDY_FOLDER}/objects.parquet",
        failures=f"{STUDY_FOLDER}/failures.parquet",
        record=f"{STUDY_FOLDER}/record.json",
    log:
        f"results/logs/{STUDY.study}/collect.log",
    benchmark:
        f"results/logs/{STUDY.study}/collect.tsv"
    conda:
        "../../environment.yml"
    resources:
        **job_resources(),
    params:
        metadata=METADATA,
        code=STATISTICS_CODE,
    shell:
        f"pambench collect --study {STUDY_FOLDER} > {{log:q}} 2>&1"


rule measure:
    input:
        settings=f"{STUDY_FOLDER}/settings.json",
        # Other tables are files of their dataset; `status` tells when they change.
        patients=[
            cohort.table
            for cohort in STUDY.analysis.cohorts.values()
            if Path(cohort.table).exists()
        ],
        status=[paths.STATUS.format(dataset=name) for name in COHORTS],
        prepared=[
            path
            for pattern in (paths.IMAGES, paths.REFERENCE)
            for path in shards(pattern, COHORTS)
        ],
        prompts=shards(paths.PROMPTS, COHORTS, rules=STUDY.prompt_rules.id),
        masks=[
            path
            for run in METHOD_RUNS
            for path in shards(paths.MASKS, COHORTS, run=run)
        ],
    output:
        measures=f"{STUDY_FOLDER}/measures.parquet",
        cohorts=f"{STUDY_FOLDER}/cohorts.parquet",
    log:
        f"results/logs/{STUDY.study}/measure.log",
    benchmark:
        f"results/logs/{STUDY.study}/measure.tsv"
    conda:
        "../../environment.yml"
    resources:
        **job_resources(),
    params:
        code=STATISTICS_CODE,
    shell:
        f"pambench measure --study {STUDY_FOLDER} > {{log:q}} 2>&1"


rule training_runs:
    input:
        settings=f"{STUDY_FOLDER}/settings.json",
        scored=[
            path
            for run in RUNS
            for path in (
                *shards(paths.SCORES, run=run, scoring=STUDY.scoring.id),
                *shards(paths.TIMES, run=run),
            )
        ],
        splits=SPLITS,
    output:
        f"{STUDY_FOLDER}/runs.csv",
    log:
        f"results/logs/{STUDY.study}/training-runs.log",
    benchmark:
        f"results/logs/{STUDY.study}/training-runs.tsv"
    conda:
        "../../environment.yml"
    resources:
        **job_resources(),
    params:
        metadata=METADATA,
        code=STATISTICS_CODE,
    shell:
        f"pambench training-runs --study {STUDY_FOLDER} > {{log:q}} 2>&1"


STATISTICS = [
    f"{STUDY_FOLDER}/statistics/{table}.csv"
    for analysis in ANALYSES.values()
    for table in analysis.gives
]

for ANALYSIS, OF in ANALYSES.items():

    rule:
        name:
            f"analyse_{ANALYSIS}"
        input:
            **tables_of(OF),
            settings=f"{STUDY_FOLDER}/settings.json",
        output:
            expand(f"{STUDY_FOLDER}/statistics/{{table}}.csv", table=OF.gives),
        log:
            f"results/logs/{STUDY.study}/analyse-{ANALYSIS}.log",
        benchmark:
            f"results/logs/{STUDY.study}/analyse-{ANALYSIS}.tsv"
        conda:
            "../../environment.yml"
        resources:
            **job_resources(memory_of_tables),
        params:
            code=STATISTICS_CODE,
            analysis=ANALYSIS,  # not in the shell line, which is evaluated after the loop
            tables=" ".join(
                f"--{name} {shlex.quote(path)}" for name, path in tables_of(OF).items()
            ),
        shell:
            "pambench analyse {params.analysis} --settings {input.settings:q} {params.tables}"
            f" --output {STUDY_FOLDER}/statistics > {{log:q}} 2>&1"


rule check:
    input:
        settings=f"{STUDY_FOLDER}/settings.json",
        scores=f"{STUDY_FOLDER}/scores.parquet",
        failures=f"{STUDY_FOLDER}/failures.parquet",
        report=f"{STUDY_FOLDER}/report.html",
    output:
        f"{STUDY_FOLDER}/within-budget.json",
    log:
        paths.CHECK_LOG.format(study=STUDY.study),
    benchmark:
        f"results/logs/{STUDY.study}/check.tsv"
    retries: 0
    conda:
        "../../environment.yml"
    shell:
        f"pambench check --study {STUDY_FOLDER} --output {{output:q}} > {{log:q}} 2>&1"
