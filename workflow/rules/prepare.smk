# Raw files -> images, objects and reference masks; one job is a shard of the scans.


rule prepare:
    input:
        status=paths.STATUS,
    output:
        images=paths.IMAGES,
        objects=paths.OBJECTS,
        reference=paths.REFERENCE,
        failures=paths.SET_ASIDE,
    log:
        "results/logs/prepare/{dataset}/{shard}.log",
    benchmark:
        "results/logs/prepare/{dataset}/{shard}.tsv"
    conda:
        "../../environment.yml"
    resources:
        **asked(),
    params:
        entry=entry_name,
        digest=lambda wildcards: DATASETS[wildcards.dataset].digest("prepare"),
    shell:
        "pambench prepare --dataset {params.entry:q} --status {input.status:q}"
        " --shard {wildcards.shard} --images {output.images:q} --objects {output.objects:q}"
        " --reference {output.reference:q} --failures {output.failures:q} > {log:q} 2>&1"
