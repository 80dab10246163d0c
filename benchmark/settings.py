"""The base class of all files that people write: strict, with helpful messages."""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from benchmark.errors import UserError, unknown_name
from benchmark.storage.files import read_json

# Every cluster job reads all entries of the study, for which libyaml is several times faster.
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 100
_SHORT = reprlib.Repr()  # in aliases of aliases, a whole text would have no end
_SHORT.maxstring = _SHORT.maxother = 80
_WORDS = {
    "tuple_type": "Expected a list, such as [a, b]",
    "list_type": "Expected a list, such as [a, b]",
    "dict_type": "Expected a mapping, such as {name: value}",
    "model_type": "Expected a mapping, such as {key: value}",
}
"""Messages for errors that pydantic describes in terms of Python, in terms of YAML."""
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(_FAST):  # type: ignore[misc]
    """Loader of plain YAML that refuses duplicate keys, of which YAML keeps the last."""

    def construct_document(self, node: yaml.Node) -> Any:
        seen: set[int] = set()  # an alias repeats a node, and a node may contain itself
        left = [node]
        while left:
            current = left.pop()
            if id(current) in seen or isinstance(current, yaml.ScalarNode):
                continue
            seen.add(id(current))
            if isinstance(current, yaml.MappingNode):
                self._refuse_doubled(current)
                left += [part for pair in current.value for part in pair]
            else:
                left += current.value
        return super().construct_document(node)

    def _refuse_doubled(self, mapping: yaml.MappingNode) -> None:
        known = set()
        for key, _ in mapping.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            value = self.construct_object(key)
            if value in known:
                problem = f"the key {value!r} occurs twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            known.add(value)


class Settings(BaseModel):
    """Frozen pydantic model that refuses unknown keys and suggests the nearest valid ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, content: Any, origin: str) -> Self:
        """Validate ``content``; raise a `UserError` that names ``origin`` and each invalid key."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise UserError(f"{origin}: {_explain(cls, error)}") from None
        except UserError as error:  # from a validator that looks up a name
            raise UserError(f"{origin}: {error}") from None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and validate a YAML or JSON file, with the errors of `load_yaml` and `read`."""
        return cls.read(load_yaml(path), str(path))


def load_yaml(path: Path) -> Any:
    """Read a YAML or JSON file; raise `UserError` if it is missing or invalid."""
    if path.suffix == ".json":
        return read_json(path, unique_keys=True)
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UserError(f"No such file: {path}.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text in UTF-8 ({error}). Next step: save it as UTF-8 in your editor."
        ) from None


def parse_yaml(text: str, origin: str) -> Any:
    """Parse YAML; raise a `UserError` with ``origin`` and place of an error or duplicate key."""
    try:
        _refuse_deep(text)
        return yaml.load(text, _Loader)
    # not all are YAMLError: 2025-02-30, !!int '', !!timestamp x
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        problem = str(error).replace(' in "<unicode string>",', " at")
        raise UserError(f"{origin} is not valid YAML: {problem}") from None


def _refuse_deep(text: str) -> None:
    """Raise ValueError for nesting that no file needs, and that would end libyaml's process."""
    depth = 0
    for event in yaml.parse(text, _FAST):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} deep")


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            owner = _model_at(model, item["loc"][:-1])
            known = owner.model_fields if owner else ()
            lines.append(unknown_name("key", str(item["loc"][-1]), known) + f" (at {where})")
        else:
            problem = _WORDS.get(item["type"], item["msg"].removeprefix("Value error, "))
            got = f"{_SHORT.repr(item['input']):.80}"
            lines.append(f"{where or 'the whole file'}: {problem} (got {got})")
    return "\n".join(lines)


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the nested model at ``location``, through lists, mappings and unions."""
    current: Any = model
    for part in location:
        current = _inside(current, part)
    return _model_in(current)


def _inside(annotation: Any, part: int | str) -> Any:
    """Return the type that ``part`` (a field, an index, a key, the tag of a union) leads to."""
    origin = get_origin(annotation)
    arguments = [argument for argument in get_args(annotation) if argument is not NoneType]
    if origin is None:
        model = _model_in(annotation)
        field = model.model_fields.get(str(part)) if model else None
        return field.annotation if field else None
    if origin is Annotated:
        return _inside(arguments[0], part)
    if origin in (Union, UnionType):
        tagged = [argument for argument in arguments if getattr(argument, "tag", None) == part]
        return tagged[0] if tagged else _inside(arguments[0], part)
    return arguments[1] if origin is dict else arguments[0]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model), None)


def merged(content: Any, changes: Any) -> Any:
    """Return ``content`` updated with ``changes``, where nested mappings are merged.

    If either is not a mapping, the result is ``changes``.
    """
    if not (isinstance(content, Mapping) and isinstance(changes, Mapping)):
        return changes
    return {**content, **{key: merged(content.get(key), value) for key, value in changes.items()}}


def short_for(key: str) -> BeforeValidator:
    """Accept a plain string in place of a mapping with the single key ``key``."""
    return BeforeValidator(lambda given: {key: given} if isinstance(given, str) else given)


_LONGEST_NAME = 80

_RESERVED = ("all", "reference")
"""Names that tables and pages have for rows of their own, beside those of the study."""


def _title(value: str) -> str:
    """Validate a text that figures, tables and pages show on a line."""
    if not value.strip():
        raise ValueError("must not be empty")
    if value != value.strip() or not value.isprintable():
        raise ValueError("must be on one line, without control characters or space at its ends")
    if len(value) > _LONGEST_NAME:
        raise ValueError(f"must not be longer than {_LONGEST_NAME} characters")
    return value


def _label(value: str) -> str:
    if value in _RESERVED:
        raise ValueError(f"{value!r} is a row of the tables already; take another name")
    return value


def _name(value: str) -> str:
    if "/" in value:
        raise ValueError("must not hold a slash, which separates a method and its variant")
    return value


Title = Annotated[str, AfterValidator(_title)]
"""A text that is only shown."""

Label = Annotated[Title, AfterValidator(_label)]
"""Name of a structure or a variant, by which tables are joined."""

Name = Annotated[Label, AfterValidator(_name)]
"""Name of a method or a model, which that of a variant may follow."""

ONE_OR_MORE = BeforeValidator(lambda given: given if isinstance(given, list | tuple) else (given,))
"""Accept a single item in place of a list."""
