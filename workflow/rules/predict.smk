# Images and prompts -> masks. One job is a shard under a method with all its deviations and
# variants, so that the model is loaded once. Labels are an input only of controls that declare it.


rule predict:
    input:
        settings="results/runs/{run}/settings.json",
        images=paths.IMAGES,
        prompts=prompts_of_run,
        weights=weights_of_run,
        reference=reference_of_run,
        model=model_of_run,
        split=split_of_run,
    output:
        masks=paths.MASKS,
        times=paths.TIMES,
    log:
        "results/logs/predict/{run}/{dataset}/{shard}.log",
    benchmark:
        "results/logs/predict/{run}/{dataset}/{shard}.tsv"
    conda:
        "../../environment.yml"
    threads: lambda wildcards: RESOURCES[wildcards.run].threads
    resources:
        **job_resources(memory_of_method, minutes=1440),
        **KUBERNETES_GPU,
        gpu=lambda wildcards: RESOURCES[wildcards.run].gpus,
    params:
        at_hand=lambda wildcards: external_state_param(
            wildcards.run, paths.MASKS.format(**wildcards)
        ),
        weights=lambda wildcards, input: (
            f"--weights-status {input.weights}" if input.weights else ""
        ),
        reference=lambda wildcards, input: (
            f"--reference {input.reference}" if input.reference else ""
        ),
        model=lambda wildcards, input: (
            f"--model-status {input.model} --split {input.split}"
            if input.model
            else ""
        ),
    shell:
        "pambench predict --settings {input.settings:q} --images {input.images:q}"
        " --prompts {input.prompts:q} {params.weights} {params.reference} {params.model}"
        " --masks {output.masks:q} --times {output.times:q} > {log:q} 2>&1"
