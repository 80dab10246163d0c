# The settings that a stage depends on, written beside its results; their digest is in the path.


rule settings:
    output:
        paths.SETTINGS,
    log:
        "results/logs/settings/{of}.log",
    benchmark:
        "results/logs/settings/{of}.tsv"
    conda:
        "../../environment.yml"
    params:
        content=lambda wildcards: json.dumps(
            SETTINGS[wildcards.of].model_dump(mode="json", exclude={"report"})
        ),
    shell:
        "pambench settings {params.content:q} --output {output:q} > {log:q} 2>&1"
