"""Subcommands of the training in the command line of the benchmark."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.arguments import examples
from benchmark.errors import UserError
from benchmark.storage.files import require_writable

app = typer.Typer(help="Training of PropMask and Box2Mask.", no_args_is_help=True)


@app.command(
    epilog=examples(
        "train finetune --dataset my/liver.yaml --from general --output my/tuned",
        "train my/recipe.yaml --output my/run --resume",
    )
)
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a YAML file.")],
    output: Annotated[Path, typer.Option(help="Folder for weights, checkpoint and curve.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint.")] = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            "--from",
            help="Weights to start from: a file, an entry of the catalogue, or 'general', the "
            "model of the paper.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Adapt the weights of --from to this dataset (id or file of an entry), and write "
            "an entry that study files can name."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Train on all cases of the dataset, hold none back.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; by default a GPU if there is one.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make batches.")] = 1,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Number of steps, instead of the recipe's.")
    ] = None,
) -> None:
    """Train a network by a recipe.

    On several GPUs run it under torchrun.
    """
    from pam import adapt
    from pam.network import Box2Mask, Network, PropMask
    from pam.training import recipe as recipes
    from pam.training.loop import resolve_device
    from pam.training.loop import train as run
    from pam.weight_files import read_network

    resolve_device(device)
    if everything and dataset is None:
        raise UserError(
            "--all is about the cases of a --dataset, and none is named. A recipe learns from all "
            "scans of its data unless data.scans or data.split says otherwise."
        )
    if dataset is not None:
        if start is None:
            raise UserError("Name the weights to adapt, such as --from general.")
        options = {"recipe": recipe, "workers": workers}
        options |= {"training": {"steps": steps}} if steps is not None else {}
        entry = adapt.adapt_to_dataset(
            dataset,
            start,
            output,
            options=options,
            device=device,
            everything=everything,
            resume=resume,
        )
        print(entry)
        return
    content = recipes.load(recipe)
    if steps is not None:
        content = content.model_copy(update={"steps": steps})
    network: Network | None = None
    if start is not None:
        path, _ = adapt.starting_weights(start)
        box = content.kind == "box2mask"
        network = read_network(path, Box2Mask) if box else read_network(path, PropMask)
    require_writable(output)
    print(run(content, output, resume=resume, start=network, device=device, workers=workers))


@app.command()
def holdout(
    weights: Annotated[
        Path, typer.Argument(dir_okay=False, help="Weights (safetensors) of either network.")
    ],
    cases: Annotated[
        int, typer.Option(min=1, help="Number of generated cases, of up to 6 objects each.")
    ] = 20,
    visible: Annotated[
        float, typer.Option(min=0, max=1, help="Minimum visible share of an object's surface.")
    ] = 0.0,
    switches: Annotated[str, typer.Option(help="Switches of the inference, as YAML.")] = "{}",
    output: Annotated[Path | None, typer.Option(help="CSV file, one row per object.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; by default a GPU if there is one.")
    ] = None,
) -> None:
    """Score weights on generated cases.

    No shipped recipe trains on these cases. Scores are given by distance from the guiding slice;
    distance 0 is the whole object (Box2Mask: the guiding slice). "copied" is the guiding mask
    copied to each slice (Box2Mask: the box). Where the object is absent, DSC is 1 for an empty
    mask, else 0.
    """
    import pandas as pd

    from benchmark.settings import parse_yaml
    from benchmark.storage.tables import write_csv
    from pam import box_presets, checkpoints, presets
    from pam.adapters import require_valid_size
    from pam.network import PropMask
    from pam.training.holdout import examples, score, score_boxes, summary
    from pam.training.loop import resolve_device

    where = resolve_device(device)
    network = checkpoints.load(weights).to(where)
    given = parse_yaml(switches, "--switches")
    if not isinstance(given, dict):
        raise UserError(f"Switches are names with values, as '{{thickness: 30}}'; got {given!r}.")
    single = {**network.config.inference, **given}
    if isinstance(network, PropMask):
        settings = require_valid_size(presets.preset("rigorous", single), network.config.multiple)
        rows = score(network, settings, examples(cases, visible), where)
    else:
        conversion = require_valid_size(
            box_presets.preset("rigorous", single), network.config.multiple
        )
        rows = score_boxes(network, conversion, examples(cases, visible), where)
    if output is not None:
        write_csv(pd.DataFrame(rows), output)
    print(pd.DataFrame(summary(rows)).to_string(index=False))
