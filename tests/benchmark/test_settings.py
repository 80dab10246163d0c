"""Strict settings: what they refuse, and with what message."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import BeforeValidator, Field, ValidationError, field_validator

from benchmark.errors import UserError
from benchmark.settings import Settings, load_yaml


class Leaf(Settings):
    colour: str = "red"
    width: int = 1


class Circle(Settings):
    tag: ClassVar = "circle"
    kind: Literal["circle"]
    radius: float = 1


class Square(Settings):
    tag: ClassVar = "square"
    kind: Literal["square"]
    length: float = 1


class Tree(Settings):
    leaf: Leaf = Leaf()
    maybe: Leaf | None = None
    by_name: dict[str, Leaf] = {}
    by_value: dict[int, Annotated[Leaf, BeforeValidator(lambda v: v)]] = {}
    several: tuple[Leaf, ...] = ()
    shape: Annotated[Circle | Square, Field(discriminator="kind")] | None = None
    adapter: str = "x"

    @field_validator("adapter")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != "x":
            raise UserError(f"Unknown adapter {value!r}.")
        return value


@pytest.mark.parametrize(
    ("content", "where", "nearest"),
    [
        ({"leav": {}}, "leav", "leaf"),
        ({"leaf": {"color": 1}}, "leaf.color", "colour"),
        ({"maybe": {"widht": 1}}, "maybe.widht", "width"),
        ({"by_name": {"one": {"color": 1}}}, "by_name.one.color", "colour"),
        # a key of a mapping may be spelt like a field of what it holds, or of its owner
        ({"by_name": {"colour": {"color": 1}}}, "by_name.colour.color", "colour"),
        ({"by_name": {"leaf": {"color": 1}}}, "by_name.leaf.color", "colour"),
        ({"by_value": {"7": {"color": 1}}}, "by_value.7.color", "colour"),
        ({"several": [{}, {"color": 1}]}, "several.1.color", "colour"),
        ({"shape": {"kind": "square", "lenght": 1}}, "shape.square.lenght", "length"),
        ({"shape": {"kind": "circle", "radios": 1}}, "shape.circle.radios", "radius"),
    ],
)
def test_unknown_key_names_the_nearest(content: object, where: str, nearest: str) -> None:
    with pytest.raises(UserError) as caught:
        Tree.read(content, "my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: Unknown key")
    assert f"Did you mean: {nearest}?" in message
    assert message.endswith(f"(at {where})")


def test_every_mistake_is_listed() -> None:
    with pytest.raises(UserError) as caught:
        Tree.read({"leaf": {"width": "wide"}, "several": 3, "nothing": 1}, "my.yaml")
    message = str(caught.value)
    assert "leaf.width: " in message
    assert "(got 'wide')" in message
    assert "several: Expected a list, such as [a, b] (got 3)" in message
    assert "Unknown key 'nothing'" in message


def test_a_name_that_a_validator_refuses_is_told_with_its_origin() -> None:
    with pytest.raises(UserError, match=r"^my\.yaml: Unknown adapter 'y'\.$"):
        Tree.read({"adapter": "y"}, "my.yaml")


def test_settings_are_frozen() -> None:
    tree = Tree()
    with pytest.raises(ValidationError):
        tree.adapter = "y"


def test_yaml_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No such file: .*absent\.yaml"):
        load_yaml(tmp_path / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1")
    with pytest.raises(UserError, match=r"broken\.yaml is not valid YAML") as caught:
        load_yaml(tmp_path / "broken.yaml")
    assert "unicode string" not in str(caught.value)
    (tmp_path / "other.yaml").write_text("study: caf\xe9", encoding="utf-16")
    with pytest.raises(UserError, match=r"other\.yaml is not text in UTF-8 .* save it as UTF-8"):
        load_yaml(tmp_path / "other.yaml")


@pytest.mark.parametrize(
    ("content", "key", "line"),
    [
        ("a: 1\nb: 2\na: 3", "'a'", 3),
        ("labels: {1: liver, 1: lesion}", "1", 1),
        ("methods:\n- {x: {}, y: {}}\n- {x: {},\n   'x': {}}", "'x'", 4),
        ("a: &a {<<: {x: 1}, x: 2}\nb: {<<: *a, y: 1, y: 2}", "'y'", 2),
    ],
)
def test_a_key_that_is_there_twice_is_refused(
    content: str, key: str, line: int, tmp_path: Path
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=rf"the key {key} occurs twice\s.*line {line},"):
        load_yaml(path)


def test_a_key_that_is_there_twice_in_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my.json").write_text('{"a": {"b": 1, "b": 2}}')
    with pytest.raises(UserError, match=r"my\.json is not valid JSON \(the key 'b' occurs twice"):
        load_yaml(tmp_path / "my.json")


@pytest.mark.parametrize(
    "value",
    [
        "2025-02-30",
        "!!int ''",
        "!!timestamp x",
        "0x_",
        "0b_",
        "7" * 5000,
        "[" * 100_000,
        "- " * 100_000,
    ],
)
def test_values_that_yaml_cannot_make_are_told(value: str, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(f"a:\n {value}")
    with pytest.raises(UserError, match=r"my\.yaml is not valid YAML"):
        load_yaml(path)


def test_json_that_is_too_deep_is_told(tmp_path: Path) -> None:
    (tmp_path / "my.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"my\.json is not valid JSON"):
        load_yaml(tmp_path / "my.json")


def test_aliases_of_aliases_are_told_in_short() -> None:
    value: object = "x" * 10
    for _ in range(12):
        value = [value] * 10
    with pytest.raises(UserError, match="adapter: ") as caught:
        Tree.read({"adapter": value}, "my.yaml")
    assert len(str(caught.value)) < 200


def test_what_is_merged_may_be_given_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("p: {a: &a {<<: &b {x: 1, y: 2}, x: 3}}\nc: {<<: *a, x: 4}\nd: &d [*b, *d]")
    read = load_yaml(path)
    assert (read["p"], read["c"]) == ({"a": {"x": 3, "y": 2}}, {"x": 4, "y": 2})
    assert read["d"][0] == {"x": 1, "y": 2}


def test_an_empty_file_is_told() -> None:
    with pytest.raises(UserError, match=r"^my\.yaml: the whole file: .*\(got None\)$"):
        Tree.read(None, "my.yaml")
