"""docs/operating.md and the chart's README name only what exists."""

import re

import pytest

from chart import CHART, ROOT, schema, values
from generated import settings
from test_metrics import declared, rules

PAGES = [ROOT / "docs/operating.md", CHART / "README.md"]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


def properties(part: object) -> set[str]:
    """Every name of a value that a schema knows."""
    if isinstance(part, list):
        return set().union(*map(properties, part))
    if not isinstance(part, dict):
        return set()
    return set(part.get("properties", {})).union(*map(properties, part.values()))


@pages
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text()), link


@pages
def test_settings_and_values_exist(page):
    known = settings()
    sections = {name for name in known if "<" not in name}
    own = values()
    # What stands below names of the user's, and words of QIWI and Kubernetes.
    names = properties(schema()) | {"trmTxnId", "preStop", "whenDeleted"}
    for section, key in re.findall(r"`([a-z]+)\.([a-z_0-9]+)[`= ]", page.read_text()):
        of_chart = schema()["properties"].get(section, {}).get("properties", {})
        if section not in sections or key in of_chart or key in ("redb", "mark", "lock"):
            continue
        assert key in known[section], f"{section}.{key}"
    for path in re.findall(r"`([a-z]+(?:\.[a-zA-Z]+)*[a-z][A-Z][A-Za-z.]*)[`:]", page.read_text()):
        at = own
        for step in path.split("."):
            if not isinstance(at, dict) or step not in at:
                break
            at = at[step]
        else:
            continue
        assert path.split(".")[-1] in names, path


@pages
def test_metrics_and_alerts_exist(page):
    known = set(declared())
    text = page.read_text()
    for name in re.findall(r"`(qiwi_[a-z_]+)`", text):
        assert name in known, name
    for name in re.findall(r"`(QiwiGateway[A-Za-z]+)`", text):
        assert name in rules(), name
