"""The progress line, from generated workflow records and a mock clock."""

import io
import logging
from pathlib import Path
from typing import Any

import pytest

from benchmark.machine.workflow_progress import ProgressLine, duration, replace_job_lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Workflow:
    """A logger with the line, a clock, and the events of Snakemake."""

    def __init__(self, stream: io.StringIO) -> None:
        self.now = 0.0
        self.stream = stream
        self.line = ProgressLine(stream, clock=lambda: self.now)

    def tell(self, event: str, **facts: Any) -> None:
        record = logging.makeLogRecord({"levelno": logging.INFO, "event": event, **facts})
        self.line.handle(record)

    def start(self, job: int, rule: str, **wildcards: str) -> None:
        self.tell("job_started", jobs=[job])
        self.tell("job_info", jobid=job, rule_name=rule, wildcards=wildcards)

    def finish(self, job: int, done: int, total: int) -> None:
        self.tell("job_finished", job_id=job)
        self.tell("progress", done=done, total=total)


@pytest.fixture
def workflow() -> Workflow:
    made = Workflow(io.StringIO())
    made.tell("run_info", stats={"predict": 4, "score": 4, "total": 8})
    jobs = [("predict", {"run": "pam"})] * 4 + [("score", {})] * 4
    made.line.expect(jobs, submits=False)
    return made


def test_it_tells_what_runs_what_waits_and_how_long_still(workflow: Workflow) -> None:
    workflow.start(1, "predict", run="pam", dataset="D35")
    workflow.start(2, "predict", run="pam", dataset="D36")
    assert workflow.line.line() == ("0 of 8 jobs done (0%) in 0 s; running: 2 predict; waiting: 6")
    workflow.now = 60
    workflow.finish(1, 1, 8)
    # one job at a time so far took 60 s; 3 of predict and 4 of score (no time known yet) are ahead
    assert workflow.stream.getvalue() == (
        "1 of 8 jobs done (12%) in 60 s; running: predict pam D36; waiting: 6; about 7 min left\n"
    )


def test_the_time_left_counts_what_ran_side_by_side(workflow: Workflow) -> None:
    for job in (1, 2, 3, 4):
        workflow.start(job, "predict", run="pam")
    workflow.now = 100
    for job in (1, 2, 3, 4):
        workflow.finish(job, job, 8)
    assert workflow.line.remaining() == pytest.approx(100)  # 4 x 100 s, four at a time
    workflow.start(5, "score")
    workflow.now = 110
    workflow.finish(5, 5, 8)
    assert workflow.line.remaining() == pytest.approx(3 * 10 / (410 / 110))


def test_of_a_method_without_an_ended_job_the_time_is_not_known() -> None:
    workflow = Workflow(io.StringIO())
    workflow.tell("run_info", stats={"predict": 8, "total": 8})
    jobs = [("predict", {"run": run, "shard": n}) for run in ("slow", "fast") for n in range(4)]
    workflow.line.expect(jobs, submits=True)
    workflow.start(1, "predict", run="slow")
    workflow.start(2, "predict", run="fast")
    workflow.now = 30
    workflow.finish(2, 1, 8)
    assert workflow.line.remaining() == pytest.approx(3 * 30)
    assert workflow.line.line() == (
        "1 of 8 jobs done (12%) in 30 s; submitted: predict slow; waiting: 6; at least 2 min left"
    )
    workflow.now = 3600
    workflow.finish(1, 2, 8)
    assert workflow.line.remaining() == pytest.approx((3 * 30 + 3 * 3600) / (3630 / 3600))
    assert "; about " in workflow.line.line()


def test_while_no_job_ends_a_line_comes_now_and_then(workflow: Workflow) -> None:
    workflow.now = 1000
    workflow.line.write_if_silent()
    assert workflow.stream.getvalue() == ""  # nothing runs
    workflow.start(1, "predict", run="pam")
    for _ in range(60):
        workflow.now += 60
        workflow.line.write_if_silent()
    lines = workflow.stream.getvalue().splitlines()
    assert len(lines) == 12  # an hour
    assert lines[-1].startswith("0 of 8 jobs done (0%) in 73 min; running: predict pam")


def test_jobs_that_until_leaves_out_do_not_count(workflow: Workflow) -> None:
    """Snakemake's own progress counts them."""
    workflow.start(1, "predict", run="pam")
    workflow.now = 60
    workflow.finish(1, 1, 50)
    assert workflow.stream.getvalue().startswith("1 of 8 jobs done (12%)")


def test_a_failed_job_runs_no_more(workflow: Workflow) -> None:
    workflow.start(1, "predict")
    workflow.tell("job_error", jobid=1)
    assert "running: nothing" in workflow.line.line()


def test_of_a_failed_job_the_end_of_the_log_is_shown(workflow: Workflow, tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text("".join(f"line {n}\n" for n in range(500)) + "pambench: no such file\n")
    workflow.tell("job_error", jobid=1, log=[str(log)])
    told = workflow.stream.getvalue().splitlines()
    assert told[0] == f"The end of {log}:"
    assert told[1] == "    line 481"
    assert told[-1] == "    pambench: no such file"
    workflow.tell("job_error", jobid=2, log=[str(tmp_path / "none.log")])
    assert "none.log, cannot be read: No such file" in workflow.stream.getvalue()


@pytest.mark.parametrize(("stream", "lines"), [(io.StringIO(), 4), (Terminal(), 10)])
def test_lines_are_rarer_in_a_log_file(stream: io.StringIO, lines: int) -> None:
    workflow = Workflow(stream)
    workflow.tell("run_info", stats={"score": 10, "total": 10})
    for job in range(10):
        workflow.start(job, "score")
        workflow.now += 10
        workflow.finish(job, job + 1, 10)
    told = stream.getvalue().splitlines()
    assert len(told) == lines
    assert told[-1] == "10 of 10 jobs done (100%) in 2 min"


def test_it_takes_the_place_of_two_lines_a_job() -> None:
    logger = logging.Logger("workflow", logging.INFO)
    stream = io.StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    replace_job_lines(logger)
    logger.info("Finished jobid: 1", extra={"event": "job_finished", "job_id": 1})
    logger.info("Select jobs to execute...")
    logger.info("something else")
    assert stream.getvalue() == "something else\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
