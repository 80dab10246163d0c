# The whole benchmark on one page: each stage is a file of rules, and each rule calls `pambench` once.
# The default study is that of the paper; for another: snakemake --configfile config/demo.yaml

if not config:

    configfile: "config/paper.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/settings.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/report.smk"


# On a cluster these run beside Snakemake: they take moments, or need a network that nodes may lack.
localrules:
    settings,
    fetch,
    fetch_weights,
    check,


onstart:
    # With the limiter, Snakemake checks all open jobs once per second for each job ended so far.
    workflow.scheduler.job_rate_limiter = None
    cluster_jobs.require_no_jobs_left(Path())
    PROGRESS.expect(
        (
            (job.rule.name, job.wildcards_dict)
            for job in workflow.dag.needrun_jobs()
        ),
        submits=not workflow.local_exec,
    )
    write_while_silent(PROGRESS)
    print(*filter(None, [clock.reset_future_times(Path())]), file=sys.stderr)
    forget_what_is_forced(workflow)
    for note in own_source.edited(STUDY):
        print(note, file=sys.stderr)


onsuccess:
    if Path(STUDY_FOLDER, "report.html").is_file():
        print(f"The report: {STUDY_FOLDER}/report.html")


onerror:
    print(*filter(None, [disk.write_problem(WRITTEN)]), file=sys.stderr)


rule all:
    default_target: True
    input:
        STATISTICS,
        f"{STUDY_FOLDER}/statistics/ledger.csv",
        f"{STUDY_FOLDER}/report.html",
        f"{STUDY_FOLDER}/within-budget.json",
