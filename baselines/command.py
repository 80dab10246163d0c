"""A method in another environment or a container: a process that reads and writes files."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, field_validator, model_validator

from baselines import exchange, process
from benchmark.adapter import Adapter, MethodInfo, Prediction, Resources
from benchmark.sources.secrets import is_secret
from benchmark.storage.patterns import fill

if TYPE_CHECKING:
    from benchmark.prompts import Prompt
    from benchmark.volume import Volume


def _words(value: object) -> object:
    return tuple(shlex.split(value)) if isinstance(value, str) else value


class Command(Adapter):
    """Run a program on a folder with the image and the prompts, and read the masks it leaves.

    The folder's format is that of `baselines.exchange` and docs/external-methods.md.
    """

    info = MethodInfo(
        summary="a program of another environment or a container, files in and out",
        prompts=("box2d", "mask2d", "box3d", "structure"),
        gpu=True,
        out_of_process=True,
        licence="that of the program",
        version=2,
    )

    class Options(Adapter.Options):
        """Options of the command.

        ``command``: program and arguments, as text or a list, without a shell. ``{folder}`` stands
            for the folder of a scan, ``{weights}`` for the file of the weights, ``{device}`` for
            cpu or cuda.
        ``keep_running``: start the program once and send it the folders line by line.
        ``timeout_s``: seconds per scan.
        ``env``: additional environment variables, but no secrets, since options are reported.
        ``gpu``: whether it can use one.
        ``threads``, ``memory_mb``: of a job, the program and this process together.
        """

        command: Annotated[tuple[str, ...], BeforeValidator(_words), Field(min_length=1)]
        keep_running: bool = False
        timeout_s: float = Field(default=3600, gt=0)
        env: Mapping[str, str] = {}
        gpu: bool = True
        threads: int = Field(default=1, ge=1)
        memory_mb: int = Field(default=8000, ge=1)

        @field_validator("env")
        @classmethod
        def _holds_no_secret(cls, value: Mapping[str, str]) -> Mapping[str, str]:
            for name in value:
                if is_secret(name):
                    raise ValueError(
                        "options are written into results and reports: export "
                        f"{name} instead, since the program inherits the environment"
                    )
            return value

        @model_validator(mode="after")
        def _gets_the_folder_once(self) -> "Command.Options":
            if self.keep_running == any("{folder}" in word for word in self.command):
                raise ValueError(
                    "command holds {folder} unless keep_running is true: then it reads the folders "
                    "from its standard input"
                )
            return self

    options: Options

    @property
    def resources(self) -> Resources:
        """GPU, threads and memory from the options."""
        options = self.options
        return Resources(int(options.gpu), options.threads, options.memory_mb)

    def external_state(self) -> str:
        """Tell whether the program exists."""
        return "program" if process.program(self.options.command) else "no program"

    def missing_requirement(self) -> str | None:
        """Ask for the program if it does not exist."""
        name = self.options.command[0]
        return None if process.program(self.options.command) else f"no program {name} here"

    def load(self, weights: Path | None, device: str) -> None:
        """Store the values of the placeholders; kept-running programs start with the first scan."""
        self.placeholders = {"weights": str(weights or ""), "device": device}
        self.servers: dict[tuple[object, ...], process.Server] = {}

    def segment(self, volume: "Volume", prompts: Sequence["Prompt"]) -> Iterator[Prediction]:
        """Hand all prompts of the scan over at once."""
        yield from exchange.exchange(volume, prompts, self.placeholders["device"], self._run)

    def _run(self, folder: Path) -> None:
        options = self.options
        values = {**self.placeholders, "folder": str(folder)}
        command = tuple(fill(word, values) for word in options.command)
        if not options.keep_running:
            process.run(command, timeout_s=options.timeout_s, env=options.env)
            return
        # Variants share the servers, but may differ in the environment.
        program = command, tuple(sorted(options.env.items()))
        if program not in self.servers:
            self.servers[program] = process.Server(command, env=options.env)
        self.servers[program].request(str(folder), timeout_s=options.timeout_s)
