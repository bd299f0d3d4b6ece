"""What must not be installed is refused, with a message that names the value.

Each file in refused/ says in its first line what the message has to name; parts between `|` are the
spellings of Helm 3 and 4.
"""

import pytest

from chart import REFUSED, helm, template, CHART


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_values_are_refused_by_name(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("# expect: "), "say what the message has to name"
    wanted = first.removeprefix("# expect: ").split("|")
    result = template(path)
    assert result.returncode != 0, "it was rendered"
    assert any(name in result.stderr for name in wanted), result.stderr


def test_lint_refuses_as_well():
    path = next(path for path in REFUSED if path.stem == "unknown_value")
    result = helm("lint", "--strict", str(CHART), "--values", str(path))
    assert result.returncode != 0
    assert "replicas" in result.stdout + result.stderr
