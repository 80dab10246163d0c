"""The base of every file that a person writes: strict, with helpful refusals."""

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.errors import UserError, unknown_name


class Settings(BaseModel):
    """Pydantic model that is frozen, refuses unknown keys and suggests the nearest valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, content: Any, origin: str) -> Self:
        """Validate ``content``; a `UserError` names ``origin``, each wrong key, what is allowed."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise UserError(f"{origin}: {_explain(cls, error)}") from None


def load_yaml(path: Path) -> Any:
    """Read a YAML file; a `UserError` says where it is missing or broken."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"No such file: {path}.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            owner = _model_at(model, item["loc"][:-1])
            known = owner.model_fields if owner else ()
            lines.append(unknown_name("key", str(item["loc"][-1]), known) + f" (at {where})")
        else:
            lines.append(f"{where or 'the whole'}: {item['msg']} (got {item['input']!r:.80})")
    return "\n".join(lines)


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Find the nested model that ``location`` leads to, through lists, mappings and unions."""
    current = model
    for part in location:
        field = current.model_fields.get(str(part))
        if field is None:  # an index, a key of a mapping, or the tag of a union
            continue
        nested = [m for m in _models_in(field.annotation) if str(part) not in m.model_fields]
        if not nested:
            return None
        tag = location[-1]
        current = next((m for m in nested if getattr(m, "tag", None) == tag), nested[0])
    return current


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models_in(part)]
