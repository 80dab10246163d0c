"""Command line of the training; its commands stand beside those of the benchmark."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Training of PropMask and Box2Mask.", no_args_is_help=True)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder for weights, checkpoint and curve.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    start: Annotated[
        Path | None, typer.Option(help="Weights (safetensors) to start from: fine-tuning.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; by default a GPU if there is one.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make batches.")] = 1,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Number of steps, instead of the recipe's.")
    ] = None,
) -> None:
    """Train a network by a recipe; under torchrun on several GPUs."""
    from pam import checkpoints
    from pam.training import recipe as recipes
    from pam.training.loop import train as run

    content = recipes.load(recipe)
    if steps is not None:
        content = content.model_copy(update={"steps": steps})
    network = checkpoints.load(start) if start else None
    print(run(content, out, resume=resume, start=network, device=device, workers=workers))
