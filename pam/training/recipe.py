"""A recipe: everything that a training depends on, as a YAML file."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from benchmark.errors import UserError, unknown_name
from benchmark.settings import Settings, load_yaml
from pam.config import Box2MaskConfig, PropMaskConfig
from pam.training.augment import Augmentation
from pam.training.generator import HOLDOUT_SEED, Generator
from pam.training.losses import Loss
from pam.training.prepared import Prepared
from pam.training.tasks import BoxTasks, PropTasks

RECIPES = Path(__file__).parent / "recipes"
SHOWN = ("size", "resampling", "context")  # keys of tasks that are also switches of the inference


class Generated(Generator):
    """Cases that are generated on the fly, see `pam.training.generator`."""

    tag: ClassVar = "generated"
    kind: Literal["generated"]


class Optimiser(Settings):
    """AdamW; its learning rate rises for ``warm_up`` steps to ``rate``, then follows a cosine.

    ``last_rate``: minimum of the cosine.
    ``period``: steps from its maximum to its minimum, by default all; a shorter one goes up and
        down (released code).
    ``clip``: maximum norm of the gradient; null for none.
    ``average``: decay of the running mean of the weights, which is what is kept; null keeps the
        last weights.
    ``keep_start``: share of the initial weights in those that are kept, so that their abilities are
        not forgotten (Wortsman et al., CVPR 2022).
    """

    rate: float = Field(default=5e-4, gt=0)
    last_rate: float = Field(default=1e-5, ge=0)
    period: int | None = Field(default=None, ge=1)
    warm_up: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    clip: float | None = Field(default=None, gt=0)
    average: float | None = Field(default=None, gt=0, lt=1)
    keep_start: float = Field(default=0.0, ge=0, lt=1)


class _Recipe(Settings):
    """Keys of all recipes.

    ``steps``: number of steps, of ``batch`` tasks each in every process.
    ``block``: number of cases in use at a time.
    ``uses``: tasks drawn from each before the next block.
    ``precision``: bfloat16 means mixed precision.
    ``compiled``: fuse layers by ``torch.compile``, which takes minutes at the start and rounds
        differently; needs a C++ compiler on a CPU, a C compiler and Python's headers on a GPU.
    ``stored``: precision of the weights in their file.
    ``checkpoint``: steps between two checkpoints.
    ``curve``: steps between two rows of the curve.
    """

    data: Annotated[Generated | Prepared, Field(discriminator="kind")]
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    block: int = Field(default=16, ge=1)
    uses: int = Field(default=8, ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = False
    stored: Literal["float32", "float16"] = "float32"
    seed: int = Field(default=0, ge=0)
    checkpoint: int = Field(default=500, ge=1)
    curve: int = Field(default=20, ge=1)

    @model_validator(mode="after")
    def _blocks_are_batches(self) -> Self:
        if self.block * self.uses % self.batch:
            raise ValueError(
                f"block {self.block} x uses {self.uses} is no multiple of batch {self.batch}"
            )
        return self

    @property
    def batches(self) -> int:
        """Number of batches per block."""
        return self.block * self.uses // self.batch


class PropMaskRecipe(_Recipe):
    """Recipe of PropMask; ``network.inference`` is written to the header of its weights.

    ``chained``: share of steps in which the network's own mask of the nearest slice becomes the
    guide of the others. The original guiding slice is remembered if ``network.inference`` has
    ``memory: prompt``.
    """

    kind: Literal["propmask"]
    network: PropMaskConfig = PropMaskConfig()
    tasks: PropTasks = PropTasks()
    chained: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _the_prior_sees_one_place(self) -> Self:
        change = self.augmentation
        if self.network.prior and change.apart and (change.flip or change.turn):
            raise ValueError("a prior looks at one place of all images: set augmentation.apart off")
        return self

    @model_validator(mode="after")
    def _chains_have_links(self) -> Self:
        if self.chained and self.tasks.queries < 2:
            raise ValueError("a chain needs two slices or more: set tasks.queries to 2 at least")
        return self

    @property
    def remembers(self) -> bool:
        """Whether the propagation will attend to the prompt's slice in every round."""
        return self.network.inference.get("memory") == "prompt"

    def chains(self, step: int) -> bool:
        """Whether a step is a chained one; they are spread evenly."""
        return int((step + 1) * self.chained) > int(step * self.chained)


class Box2MaskRecipe(_Recipe):
    """Recipe of Box2Mask."""

    kind: Literal["box2mask"]
    network: Box2MaskConfig = Box2MaskConfig()
    tasks: BoxTasks = BoxTasks()


Recipe = PropMaskRecipe | Box2MaskRecipe
_KINDS: dict[str, type[PropMaskRecipe] | type[Box2MaskRecipe]] = {
    "propmask": PropMaskRecipe,
    "box2mask": Box2MaskRecipe,
}


def names() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load(name: str) -> Recipe:
    """Read a recipe by the name of a shipped one or the path of a YAML file."""
    path = _path(name)
    return read(load_yaml(path), str(path))


def keys(name: str) -> Any:
    """Return the content of a recipe's file, without defaults; ``name`` as for `load`."""
    return load_yaml(_path(name))


def _path(name: str) -> Path:
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    if path.parent == RECIPES and not path.exists():
        raise UserError(unknown_name("recipe", name, names()) + " Own ones are named by a file.")
    return path


def read_keys(content: Any, origin: str) -> Recipe:
    """Validate the keys of a recipe and fill in defaults; a `UserError` names ``origin``."""
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind not in _KINDS:
        raise UserError(f"{origin}: " + unknown_name("kind of network", str(kind), _KINDS))
    recipe: Recipe = _KINDS[str(kind)].read(content, origin)
    return recipe


def read(content: Any, origin: str) -> Recipe:
    """Validate a whole recipe, with checks across its keys; a `UserError` names ``origin``."""
    recipe = read_keys(content, origin)
    size, multiple = recipe.tasks.size, recipe.network.multiple
    if size % multiple or size < 2 * multiple:
        raise UserError(
            f"{origin}: tasks.size is {size}; the network takes multiples of {multiple}, from "
            f"{2 * multiple} on."
        )
    if recipe.data.kind == "generated" and recipe.data.seed == HOLDOUT_SEED:
        raise UserError(f"{origin}: data.seed {HOLDOUT_SEED} is that of the hold-out.")
    tasks = recipe.tasks.model_dump()
    shown = {key: tasks[key] for key in SHOWN if key in tasks}
    inference = {**shown, **recipe.network.inference}
    for key, value in shown.items():
        if inference[key] != value:
            raise UserError(
                f"{origin}: tasks.{key} is {value}, network.inference.{key} {inference[key]}. "
                "Images and masks are to be shown as they were in training: give the former alone, "
                "or the same."
            )
    if recipe.kind == "propmask" and (recipe.network.inputs == 2) != bool(recipe.tasks.context):
        raise UserError(
            f"{origin}: network.inputs is {recipe.network.inputs}, tasks.context "
            f"{recipe.tasks.context:g}. Two inputs go with a context above 0, one with none."
        )
    network = recipe.network.model_copy(update={"inference": inference})
    return recipe.model_copy(update={"network": network})
