# Raw files and weights. A fetch always writes its status.json and never fails the workflow. The
# fingerprint of the local files makes it run again when something has become available.


rule fetch:
    output:
        paths.STATUS,
    log:
        "results/logs/fetch/{dataset}.log",
    benchmark:
        "results/logs/fetch/{dataset}.tsv"
    conda:
        "../../environment.yml"
    resources:
        downloads=1,
        mem_mb=stages.MEMORY_MB,
    params:
        entry=entry_name,
        digest=lambda wildcards: DATASETS[wildcards.dataset].digest("fetch"),
        at_hand=fingerprint_of_data,
    shell:
        "pambench fetch --dataset {params.entry:q} --output {output:q} > {log:q} 2>&1"


rule fetch_weights:
    output:
        paths.WEIGHTS_STATUS,
    log:
        "results/logs/fetch-weights/{weights}.log",
    benchmark:
        "results/logs/fetch-weights/{weights}.tsv"
    conda:
        "../../environment.yml"
    resources:
        downloads=1,
        mem_mb=stages.MEMORY_MB,
    params:
        entry=lambda wildcards: WEIGHTS_BY_ID[wildcards.weights],
        digest=lambda wildcards: WEIGHTS[WEIGHTS_BY_ID[wildcards.weights]].fetch_digest,
        at_hand=fingerprint_of_weights,
    shell:
        "pambench fetch-weights --weights {params.entry:q} --output {output:q} > {log:q} 2>&1"
