# Statistics -> figures, tables and the report, a single file that opens in a browser.

import reports
from benchmark.storage.digest import code
from reports.figures import FIGURES
from reports.supplement import NAMES, SOURCES

# Appearance is part of no digest: everything below is cheap, and is rerun when it changes.
LOOK = f"{STUDY_FOLDER}/figures/settings.json"
REPORTS_CODE = code(Path(reports.__file__).parent)


rule figures:
    input:
        expand(f"{STUDY_FOLDER}/figures/{{figure}}.pdf", figure=FIGURES),


rule figure:
    input:
        settings=f"{STUDY_FOLDER}/settings.json",
        look=LOOK,
        record=f"{STUDY_FOLDER}/record.json",
        tables=lambda wildcards: [
            f"{STUDY_FOLDER}/{path}" for path in FIGURES[wildcards.figure].files
        ],
    output:
        expand(
            f"{STUDY_FOLDER}/figures/{{{{figure}}}}.{{suffix}}",
            suffix=["pdf", "svg", "png", "txt"],
        ),
    log:
        f"results/logs/{STUDY.study}/{{figure}}.log",
    benchmark:
        f"results/logs/{STUDY.study}/{{figure}}.tsv"
    wildcard_constraints:
        figure="|".join(FIGURES),
    conda:
        "../../environment.yml"
    resources:
        **job_resources(memory_of_tables),
    params:
        code=REPORTS_CODE,
    shell:
        f"pambench figures --study {STUDY_FOLDER} --only {{wildcards.figure}} > {{log:q}} 2>&1"


rule tables:
    input:
        settings=f"{STUDY_FOLDER}/settings.json",
        record=f"{STUDY_FOLDER}/record.json",
        failures=f"{STUDY_FOLDER}/failures.parquet",
        scores=f"{STUDY_FOLDER}/scores.parquet",
        statistics=expand(f"{STUDY_FOLDER}/statistics/{{table}}.csv", table=SOURCES),
    output:
        expand(
            f"{STUDY_FOLDER}/tables/{{table}}.{{suffix}}",
            table=NAMES,
            suffix=["csv", "md", "tex"],
        ),
    log:
        f"results/logs/{STUDY.study}/tables.log",
    benchmark:
        f"results/logs/{STUDY.study}/tables.tsv"
    conda:
        "../../environment.yml"
    resources:
        **job_resources(memory_of_tables),
    params:
        code=REPORTS_CODE,
    shell:
        f"pambench tables --study {STUDY_FOLDER} > {{log:q}} 2>&1"


rule cases:
    input:
        settings=f"{STUDY_FOLDER}/settings.json",
        record=f"{STUDY_FOLDER}/record.json",
        scores=f"{STUDY_FOLDER}/scores.parquet",
        overall=f"{STUDY_FOLDER}/statistics/overall.csv",
    output:
        f"{STUDY_FOLDER}/cases.json",
    log:
        f"results/logs/{STUDY.study}/cases.log",
    benchmark:
        f"results/logs/{STUDY.study}/cases.tsv"
    conda:
        "../../environment.yml"
    resources:
        **job_resources(memory_of_tables),
    params:
        code=REPORTS_CODE,
        room=STUDY.report.cases_mb,
        private=(
            "--private-images"
            if STUDY.report.private_images
            else "--no-private-images"
        ),
    shell:
        f"pambench cases --study {STUDY_FOLDER} --megabytes {{params.room}} {{params.private}}"
        " > {log:q} 2>&1"


rule ledger:
    input:
        STATISTICS,
        settings=f"{STUDY_FOLDER}/settings.json",
        record=f"{STUDY_FOLDER}/record.json",
    output:
        f"{STUDY_FOLDER}/statistics/ledger.csv",
    log:
        f"results/logs/{STUDY.study}/ledger.log",
    benchmark:
        f"results/logs/{STUDY.study}/ledger.tsv"
    conda:
        "../../environment.yml"
    resources:
        **job_resources(),
    params:
        code=REPORTS_CODE,
    shell:
        f"pambench ledger --study {STUDY_FOLDER} > {{log:q}} 2>&1"


rule report:
    input:
        settings=f"{STUDY_FOLDER}/settings.json",
        look=LOOK,
        record=f"{STUDY_FOLDER}/record.json",
        scores=f"{STUDY_FOLDER}/scores.parquet",
        failures=f"{STUDY_FOLDER}/failures.parquet",
        images=f"{STUDY_FOLDER}/images.parquet",
        statistics=expand(
            f"{STUDY_FOLDER}/statistics/{{table}}.csv",
            table=["overall", "comparison", "ranking", "ledger"]
            + ["by_structure", "comparison_by_dataset"],
        ),
        tables=f"{STUDY_FOLDER}/tables/table1.csv",
        cases=f"{STUDY_FOLDER}/cases.json",
        figures=expand(f"{STUDY_FOLDER}/figures/{{figure}}.svg", figure=FIGURES),
    output:
        f"{STUDY_FOLDER}/report.html",
    log:
        f"results/logs/{STUDY.study}/report.log",
    benchmark:
        f"results/logs/{STUDY.study}/report.tsv"
    conda:
        "../../environment.yml"
    resources:
        **job_resources(memory_of_tables),
    params:
        code=REPORTS_CODE,
    shell:
        f"pambench report --study {STUDY_FOLDER} > {{log:q}} 2>&1"
