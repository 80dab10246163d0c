# Objects -> prompts, once for all methods.


rule prompts:
    input:
        settings="results/prompts/{rules}/settings.json",
        images=paths.IMAGES,
        objects=paths.OBJECTS,
        reference=paths.REFERENCE,
    output:
        paths.PROMPTS,
    log:
        "results/logs/prompts/{rules}/{dataset}/{shard}.log",
    benchmark:
        "results/logs/prompts/{rules}/{dataset}/{shard}.tsv"
    conda:
        "../../environment.yml"
    resources:
        **job_resources(mem_mb=2000),
    shell:
        "pambench prompts --settings {input.settings:q} --images {input.images:q}"
        " --objects {input.objects:q} --reference {input.reference:q}"
        " --output {output:q} > {log:q} 2>&1"
