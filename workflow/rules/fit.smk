# Methods that learn: a plan and a training for each dataset, on its training cases alone. What an
# interrupted training left in the folder is gone on with; methods that do not learn have no such job.


rule plan:
    input:
        settings="results/runs/{run}/settings.json",
        images=of_dataset(paths.IMAGES),
        reference=of_dataset(paths.REFERENCE),
    output:
        planned=paths.PLAN,
        split=paths.SPLIT,
    log:
        "results/logs/plan/{run}/{dataset}.log",
    benchmark:
        "results/logs/plan/{run}/{dataset}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=lambda wildcards: METHODS[wildcards.run].memory_mb,
    params:
        at_hand=lambda wildcards: at_hand(wildcards.run),
        images=lambda wildcards, input: Path(input.images[0]).parent,
        reference=lambda wildcards, input: Path(input.reference[0]).parent,
    shell:
        "pambench plan --settings {input.settings:q} --images {params.images:q}"
        " --reference {params.reference:q} --output {output.planned:q} > {log:q} 2>&1"


rule train:
    input:
        settings="results/runs/{run}/settings.json",
        planned=paths.PLAN,
    output:
        paths.MODEL,
    log:
        "results/logs/train/{run}/{dataset}.log",
    benchmark:
        "results/logs/train/{run}/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: lambda wildcards: METHODS[wildcards.run].threads
    resources:
        gpu=lambda wildcards: int(METHODS[wildcards.run].gpu),
        mem_mb=lambda wildcards: METHODS[wildcards.run].memory_mb,
    shell:
        "pambench fit --settings {input.settings:q} --planned {input.planned:q}"
        " --output {output:q} > {log:q} 2>&1"
