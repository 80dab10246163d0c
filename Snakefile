# The whole benchmark on one page: each stage is a file of rules, each rule one call of `pambench`.
# The study is that of the paper unless another file is given: snakemake --configfile config/demo.yaml

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


# On a cluster these stay where Snakemake runs: moments of work, or a network, which nodes may lack.
localrules:
    settings,
    fetch,
    fetch_weights,
    check,


onstart:
    # With it Snakemake looks at all open jobs once a second for each job that has ended so far.
    workflow.scheduler.job_rate_limiter = None
    print(*filter(None, [clock.bring_back(Path())]), file=sys.stderr)


onsuccess:
    if Path(STUDY_FOLDER, "report.html").is_file():
        print(f"The report: {STUDY_FOLDER}/report.html")


onerror:
    print(*filter(None, [room.trouble(WRITTEN)]), file=sys.stderr)


rule all:
    default_target: True
    input:
        STATISTICS,
        f"{STUDY_FOLDER}/statistics/ledger.csv",
        f"{STUDY_FOLDER}/report.html",
        f"{STUDY_FOLDER}/within-budget.json",
