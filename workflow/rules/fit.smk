# Methods that learn: a split of each dataset, then a plan and a training for each model, on training
# cases only. An interrupted training resumes from what it left in its folder. Methods that do not
# learn have no such jobs.


rule split:
    input:
        of_dataset(paths.IMAGES),
    output:
        paths.SPLIT,
    log:
        "results/logs/split/{seed}/{dataset}.log",
    benchmark:
        "results/logs/split/{seed}/{dataset}.tsv"
    conda:
        "../../environment.yml"
    resources:
        **job_resources(),
    params:
        images=lambda wildcards, input: Path(input[0]).parent,
        version=stages.SPLIT,
    shell:
        "pambench split --images {params.images:q} --seed {wildcards.seed}"
        " --output {output:q} > {log:q} 2>&1"


rule plan:
    input:
        settings="results/models/{fit}/settings.json",
        splits=lambda wildcards: [
            paths.SPLIT.format(seed=STUDY.seed, dataset=name)
            for name in datasets_of_model(wildcards)
        ],
        prepared=lambda wildcards: [
            path
            for pattern in (paths.IMAGES, paths.OBJECTS, paths.REFERENCE)
            for path in shards(pattern, datasets_of_model(wildcards))
        ],
    output:
        paths.PLAN,
    log:
        "results/logs/plan/{fit}/{model}.log",
    benchmark:
        "results/logs/plan/{fit}/{model}.tsv"
    conda:
        "../../environment.yml"
    threads: lambda wildcards: FITTED[wildcards.fit].plan_resources.threads
    resources:
        **job_resources(memory_of_plan, minutes=1440),
    params:
        at_hand=lambda wildcards: external_state_param(
            wildcards.fit, paths.PLAN.format(**wildcards)
        ),
        speed=speed_of_fit,
        sources=lambda wildcards, input: " ".join(
            f"--data {paths.PREPARED.format(dataset=name)} --split {split}"
            for name, split in zip(
                datasets_of_model(wildcards), input.splits, strict=True
            )
        ),
    shell:
        "pambench plan --settings {input.settings:q} --speed {params.speed:q} {params.sources}"
        " --output {output:q} > {log:q} 2>&1"


rule train:
    input:
        settings="results/models/{fit}/settings.json",
        planned=paths.PLAN,
        weights=lambda wildcards: weights_status(wildcards.fit),
    output:
        paths.MODEL,
    log:
        "results/logs/train/{fit}/{model}.log",
    benchmark:
        "results/logs/train/{fit}/{model}.tsv"
    conda:
        "../../environment.yml"
    threads: lambda wildcards: FITTED[wildcards.fit].fit_resources.threads
    resources:
        **job_resources(memory_of_training, minutes=2880),
        **KUBERNETES_GPU,
        gpu=lambda wildcards: FITTED[wildcards.fit].fit_resources.gpus,
        nodes=1,  # for Slurm: the processes of a training must be on one node
    params:
        speed=speed_of_fit,
        weights=lambda wildcards, input: (
            f"--weights-status {input.weights}" if input.weights else ""
        ),
        launcher=launcher_of_training,
    shell:
        "{params.launcher}pambench fit --settings {input.settings:q} --planned {input.planned:q}"
        " --speed {params.speed:q} {params.weights} --output {output:q} > {log:q} 2>&1"
