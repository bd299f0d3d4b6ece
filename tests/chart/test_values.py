"""Values, their comments, their schema and the README say the same."""

import json

import pytest

import generated
from chart import CHART, ROOT, schema, values


@pytest.mark.parametrize("path", generated.FILES, ids=lambda path: path.name)
def test_generated_parts_are_up_to_date(path):
    fresh = path.read_text() == generated.FILES[path]()
    assert fresh, f"{path.relative_to(ROOT)}: run python tests/chart/generated.py --write"


def test_every_value_has_a_comment():
    bare = [path for path, _, comment in generated.comments() if not comment]
    assert bare == []


def known(schema: dict, of: dict, path: str = "") -> list[str]:
    """Values the schema does not know, and objects that are open for any."""
    missing = []
    properties = schema.get("properties", {})
    for key, value in of.items():
        if key not in properties:
            missing.append(f"{path}{key}")
        elif isinstance(value, dict) and "properties" in properties[key]:
            missing += known(properties[key], value, f"{path}{key}.")
    return missing


def test_every_value_is_in_the_schema_and_the_other_way_round():
    assert known(schema(), values()) == []

    def walk(part: dict, of: object, path: str) -> list[str]:
        unused = []
        for key, below in part.get("properties", {}).items():
            if not isinstance(of, dict) or key not in of:
                unused.append(f"{path}{key}")
            elif "properties" in below:
                unused += walk(below, of[key], f"{path}{key}.")
        return unused

    unused = set(walk(schema(), values(), "")) - {"global", "resources.claims"}
    assert unused == set(), "in the schema, and not in values.yaml"


def test_objects_of_the_schema_are_closed():
    open_ones = []

    def walk(part: object, path: str) -> None:
        if isinstance(part, list):
            for number, of in enumerate(part):
                walk(of, f"{path}[{number}]")
        elif isinstance(part, dict):
            conditional = any(word in path for word in ("then", "if", "oneOf", "anyOf", "not"))
            if "properties" in part and part.get("additionalProperties") is not False:
                if not conditional:
                    open_ones.append(path)
            for key, of in part.items():
                walk(of, f"{path}.{key}")

    walk(schema(), "")
    assert open_ones == []


def test_schema_is_written_as_generated():
    text = (CHART / "values.schema.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
