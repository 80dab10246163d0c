# Raw files -> images, objects and reference masks; one job is a shard of the scans. In a folder of
# the user it depends on the files of the shard, not on the status, which changes with any file.


rule prepare:
    input:
        status=status_of_fetch,
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
        **job_resources(),
    params:
        entry=entry_name,
        digest=lambda wildcards: DATASETS[wildcards.dataset].digest("prepare"),
        status=lambda wildcards, input: (
            f"--status {input.status}" if input.status else ""
        ),
        files=files_of_shard,
    shell:
        "pambench prepare --dataset {params.entry:q} {params.status} {params.files}"
        " --shard {wildcards.shard} --images {output.images:q} --objects {output.objects:q}"
        " --reference {output.reference:q} --failures {output.failures:q} > {log:q} 2>&1"
