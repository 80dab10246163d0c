# Masks and references -> scores: every expected cell of a shard.


rule score:
    input:
        settings="results/runs/{run}/settings.json",
        metrics="results/runs/{run}/scores-{scoring}/settings.json",
        images=paths.IMAGES,
        objects=paths.OBJECTS,
        reference=paths.REFERENCE,
        prompts=prompts_of_run,
        masks=paths.MASKS,
    output:
        paths.SCORES,
    log:
        "results/logs/score/{run}/{scoring}/{dataset}/{shard}.log",
    benchmark:
        "results/logs/score/{run}/{scoring}/{dataset}/{shard}.tsv"
    conda:
        "../../environment.yml"
    resources:
        **job_resources(mem_mb=2000),
    params:
        tolerances=lambda wildcards: json.dumps(DATASETS[wildcards.dataset].tolerances),
    shell:
        "pambench score-shard --settings {input.settings:q} --metrics {input.metrics:q}"
        " --images {input.images:q} --objects {input.objects:q} --reference {input.reference:q}"
        " --prompts {input.prompts:q} --masks {input.masks:q} --tolerances {params.tolerances:q}"
        " --output {output:q} > {log:q} 2>&1"
