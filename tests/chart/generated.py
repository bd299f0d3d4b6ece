"""The parts of the chart that follow from other files: `python tests/chart/generated.py --write`.

* `config` of values.schema.json knows the gateway's settings, from docs/configuration.md, so that a
  misspelt one is refused before anything is installed;
* the README's table of values, from the comments of values.yaml.

A test compares; without `--write` this prints what differs.
"""

import json
import re
import sys

import yaml

from chart import CHART, ROOT

# What has a value of its own, or is none of a pod's business. The rest of a section is passed on.
SECTIONS_OWNED = {"drain", "sandbox"}
KEYS_OWNED = {
    "grpc": {"listen"},
    "admin": {"listen"},
    "notifications": {"listen", "enabled", "public_url"},
    "pages": {"key_file"},
    "security": {"fingerprint_pepper_file"},
    "upstream": {"ca_file"},
    "limit": {"replicas"},
    "state": {
        "engine", "path", "key_file", "nats_url", "nats_prefix", "nats_replicas", "nats_user",
        "nats_credentials_file", "nats_password_file", "nats_ca_file", "nats_cert_file",
        "nats_key_file", "nats_monitor_urls", "nats_placement_tag",
    },
}  # fmt: skip
KEY_OWNED = re.compile(r"^tls_(cert|key|client_ca)_file$|^tls_client_auth$")

BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"


def settings() -> dict[str, list[str]]:
    """Every key of every section that docs/configuration.md lists."""
    found: dict[str, list[str]] = {}
    section = None
    for line in (ROOT / "docs/configuration.md").read_text().splitlines():
        if heading := re.match(r"## `\[([a-z_.<>]+)\]`$", line):
            section = heading[1]
            found[section] = []
        elif section and (row := re.match(r"\| `([a-z0-9_]+)` \| `QIWI_GATEWAY_", line)):
            found[section].append(row[1])
    return found


def config_schema() -> dict:
    """What `config` may hold: sections and keys that exist, less what the chart sets itself."""
    scalar = {"type": ["string", "number", "boolean"]}
    value = {"anyOf": [scalar, {"type": "array", "items": scalar}]}
    sections = {}
    for section, keys in sorted(settings().items()):
        if section in SECTIONS_OWNED or "<" in section:
            continue
        owned = KEYS_OWNED.get(section, set())
        passed = [key for key in keys if key not in owned and not KEY_OWNED.match(key)]
        if not passed:
            continue
        sections[section] = {
            "type": "object",
            "additionalProperties": False,
            "properties": {key: {"$ref": "#/$defs/setting"} for key in sorted(passed)},
        }
    return {
        "setting": value,
        "config": {"type": "object", "additionalProperties": False, "properties": sections},
    }


def schema_text() -> str:
    """values.schema.json as it should be."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    schema["$defs"] |= config_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def comments() -> list[tuple[str, int, str]]:
    """Every key of values.yaml with its depth and the comment before it."""
    found, path, comment = [], [], []
    for line in (CHART / "values.yaml").read_text().splitlines():
        bare = line.strip()
        if not bare:
            comment = []
        elif bare.startswith("#"):
            comment.append(bare.lstrip("#").strip())
        elif key := re.match(r"( *)([A-Za-z][A-Za-z0-9]*):", line):
            depth = len(key[1]) // 2
            path = [*path[:depth], key[2]]
            found.append((".".join(path), depth, " ".join(comment)))
            comment = []
        else:
            comment = []
    # Keys below a list, or of labels, are data.
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    return [row for row in found if is_value(values, row[0])]


def is_value(values: dict, path: str) -> bool:
    """Whether a path leads to a value."""
    try:
        leaf(values, path)
    except (KeyError, TypeError):
        return False
    return True


def leaf(values: object, path: str) -> object:
    """The default at a path."""
    for key in path.split("."):
        values = values[key]
    return values


def table() -> str:
    """The README's table."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = ["| Value | Default | Meaning |", "|---|---|---|"]
    for path, _, comment in comments():
        default = leaf(values, path)
        text = comment.replace("|", "\\|")
        if isinstance(default, dict) and default:
            rows.append(f"| **`{path}`** | | {text} |")
        else:
            rows.append(f"| `{path}` | `{json.dumps(default, ensure_ascii=False)}` | {text} |")
    return "\n".join(rows)


def readme_text() -> str:
    """README.md as it should be."""
    text = (CHART / "README.md").read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


FILES = {CHART / "values.schema.json": schema_text, CHART / "README.md": readme_text}


def main() -> int:
    stale = [path for path, text in FILES.items() if path.read_text() != text()]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not what it follows from")
        if "--write" in sys.argv:
            path.write_text(FILES[path]())
    return 0 if "--write" in sys.argv or not stale else 1


if __name__ == "__main__":
    sys.exit(main())
