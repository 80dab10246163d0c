"""``pambench methods`` and ``pambench check-adapter``."""

import re
from typing import Annotated

import typer

from benchmark.commands.arguments import examples
from benchmark.errors import UserError, unknown_name

app = typer.Typer()
methods = typer.Typer(help="List and show methods.", no_args_is_help=True)


@app.command(
    epilog=examples(
        "check-adapter mymethods.threshold:Threshold --options '{quantile: 0.6}'",
        "check-adapter pam-2dmask --weights pam-small --device cuda",
    )
)
def check_adapter(
    name: Annotated[str, typer.Argument(help="Registered name, or module:Class.")],
    options: Annotated[str, typer.Option(help="Options of the method, as YAML.")] = "{}",
    weights: Annotated[
        str | None,
        typer.Option(help="Weights: an id of the registry, the YAML file of an entry, or a file."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    prompt: Annotated[str | None, typer.Option(help="Check only this prompt kind.")] = None,
) -> None:
    """Check that a method conforms.

    Runs the conformance checks and lists what fails.
    """
    from benchmark.conformance.checks import findings
    from benchmark.prompt_kinds import PROMPT_KINDS
    from benchmark.settings import parse_yaml
    from benchmark.weights.store import locate

    kinds = [kind for kind in PROMPT_KINDS if prompt in (None, kind)]
    if not kinds:
        raise UserError(unknown_name("kind of prompt", str(prompt), PROMPT_KINDS))
    given = parse_yaml(options, "--options")
    if not isinstance(given, dict):
        raise UserError(
            f"Options are pairs of a name and a value, as 'quantile: 0.6'; not {given!r}."
        )
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise UserError(f"Unknown device {device!r}; a method runs on cpu, cuda or cuda:1.")
    file = locate(weights, download=False)[0] if weights else None
    failed = 0
    for finding in findings(name, given, device, file, kinds):
        print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}: {finding.detail}", flush=True)
        failed += not finding.ok
    if failed:
        print(f"{name} does not conform yet: {failed} to fix")
        raise typer.Exit(1)
    print(f"{name} conforms")


@methods.command("list", epilog=examples("methods list", "methods show pam-2dmask"))
def list_methods() -> None:
    """List the registered methods."""
    from benchmark.methods.registry import available

    for name, target in available().items():
        print(f"{name:20} {target}")


@methods.command("show")
def show_method(name: str) -> None:
    """Show a method and its options.

    Options are shown with their defaults.
    """
    from dataclasses import asdict

    from benchmark.methods.registry import find

    cls = find(name)
    for key, value in asdict(cls.info).items():
        print(f"{key:>16}: {', '.join(value) if isinstance(value, tuple) else value}")
    for key, field in cls.Options.model_fields.items():
        default = "required" if field.is_required() else repr(field.default)
        print(f"{'option':>16}: {key} = {default}")
