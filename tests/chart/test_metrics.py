"""Dashboards and alerts refer only to metrics, labels and values that exist, and alerts fire.

What a gateway shows after some calls is taken from its own page. What appears only in trouble is
taken from how src/telemetry declares it.
"""

import json
import re
import subprocess

import pytest
import yaml

from chart import CASES, CHART, ROOT, name_of, objects, of_kind

ALERTS = sorted((CHART / "files/alerts").glob("*.yaml"))
DASHBOARDS = sorted((CHART / "files/dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs/operating.md"

# What Prometheus adds when it scrapes.
TARGET_LABELS = {"namespace", "job", "pod"}


def shown(page: str) -> dict[str, set[str]]:
    """Names and labels of the page."""
    found: dict[str, set[str]] = {}
    for line in page.splitlines():
        if row := re.match(r"([a-z_]+)(?:\{(.*)\})? [-+0-9.eInfa]+$", line):
            labels = set(re.findall(r'([a-z_]+)="', row[2] or ""))
            found.setdefault(row[1], set()).update(labels)
    return found


def sources() -> list[str]:
    """The files of src/telemetry that ship, each as its text."""
    folder = sorted((ROOT / "src/telemetry").glob("*.rs"))
    return [path.read_text() for path in folder if path.name != "tests.rs"]


def constants() -> dict[str, str]:
    """The names of src/telemetry/names.rs as Prometheus spells them."""
    text = (ROOT / "src/telemetry/names.rs").read_text()
    rows = re.findall(r'pub const ([A-Z_0-9]+): &str =\s*"([^"]+)";', text)
    return {name: value.replace(".", "_") for name, value in rows}


# How an instrument is made: by the SDK's builders, or by a function of the file that calls one.
MADE = re.compile(
    r"\b(counter|gauge|level|seconds|u64_gauge|f64_gauge|i64_up_down_counter|u64_observable_counter)"
    r"\(\s*names::([A-Z_0-9]+)"
)


def declared() -> dict[str, set[str]]:
    """Every instrument under the names Prometheus has for it, with the labels of the functions that
    record it."""
    known = constants()
    found: dict[str, set[str]] = {}
    for text in sources():
        histograms = "f64_histogram" in text
        labels: dict[str, set[str]] = {}
        for body in re.split(r"\n    (?:pub )?(?:pub\(super\) )?fn |\nfn ", text):
            if body.startswith("new("):
                continue  # makes them all
            used = {known.get(name) for name in re.findall(r"names::([A-Z_0-9]+)", body)} - {None}
            for field in re.findall(r"\b(?:self|metrics)\s*\.([a-z_]+)\s*\.(?:add|record)\(", body):
                labels.setdefault(field, set()).update(used)
        made = list(MADE.finditer(text))
        for number, match in enumerate(made):
            kind, name = match[1], known[match[2]]
            end = made[number + 1].start() if number + 1 < len(made) else len(text)
            rest = text[match.end() : end]
            # The unit of what is made next stands behind its own name.
            rest = rest[:500]
            field = re.search(r"([a-z_]+): (?:meter\s*\.)?\s*$", text[: match.start()])
            own = labels.get(field[1], set()) if field else {known["SIGNAL"], known["VERSION"]}
            in_seconds = kind == "seconds" or re.search(r'^\s*\)?\s*(?:\.with_unit\(|,\s*)"s"', rest)
            name += "_seconds" if in_seconds else ""
            name += "_total" if "counter" in kind and "up_down" not in kind else ""
            found[name] = own
            if kind == "seconds" and histograms:
                for suffix in ("_bucket", "_count", "_sum"):
                    found[name + suffix] = own | {"le"}
    return found


def expressions() -> list[tuple[str, str]]:
    """Every PromQL expression with the place it is used at."""
    found = []
    for path in ALERTS:
        for group in yaml.safe_load(path.read_text())["groups"]:
            found += [(rule["alert"], rule["expr"]) for rule in group["rules"]]
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                found.append((panel["title"], target["expr"]))
        for variable in dashboard["templating"]["list"]:
            if "definition" in variable:
                found.append((variable["name"], variable["definition"]))
        found += [(of["name"], of["expr"]) for of in dashboard["annotations"]["list"]]
    return found


SELECTOR = re.compile(r"\b((?:qiwi|rpc|http)_[a-z0-9_]+)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def parts(expression: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The metrics of an expression with their matchers."""
    # Labels are no metrics, though some have the same prefix.
    bare = re.sub(r"\b(?:by|without|on|ignoring) ?\([^)]*\)", "", expression)
    return [(name, MATCHER.findall(inside or "")) for name, inside in SELECTOR.findall(bare)]


def grouped(expression: str) -> set[str]:
    """The labels it groups by."""
    rows = re.findall(r"\bby ?\(([^)]*)\)", expression)
    return {label.strip() for row in rows for label in row.split(",")}


def test_what_is_declared_agrees_with_what_is_shown(page):
    of_page, of_source = shown(page), declared()
    assert len(of_source) > 60
    missing = {
        name: labels - of_source.get(name, set())
        for name, labels in of_page.items()
        if name != "target_info"
        and (name not in of_source or not labels <= of_source[name] | {"le"})
    }
    assert missing == {}, "the reading of src/telemetry is wrong"


def test_metrics_and_labels_exist(page):
    known = declared()
    for name, labels in shown(page).items():
        known.setdefault(name, set()).update(labels)
    wrong = []
    used = 0
    for place, expression in expressions():
        names = parts(expression)
        assert names, f"{place}: no metric in {expression}"
        used += len(names)
        for name, matchers in names:
            if name not in known:
                wrong.append(f"{place}: there is no metric {name}")
                continue
            labels = {label for label, *_ in matchers} - TARGET_LABELS
            for label in labels - known[name]:
                wrong.append(f"{place}: {name} has no label {label}")
        of_all = set().union(*(known.get(name, set()) for name, _ in names))
        for label in grouped(expression) - TARGET_LABELS - of_all - {"le"}:
            wrong.append(f"{place}: nothing in it has the label {label}")
    assert wrong == []
    assert used > 100


def test_values_of_labels_exist():
    source = "\n".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.rs")))
    wrong = []
    for place, expression in expressions():
        for name, matchers in parts(expression):
            for label, how, value in matchers:
                if label in TARGET_LABELS or value == "" or label == "rpc_method":
                    continue
                for one in value.split("|") if "~" in how else [value]:
                    literal = re.escape(one).replace(r"\.\*", '[^"]*')
                    numeric = one in ("true", "false") or re.fullmatch(r"[1-5]\.\.", one)
                    if not numeric and not re.search(f'"{literal}"', source):
                        wrong.append(f"{place}: {name} never has {label}={one}")
    assert wrong == []


def test_every_metric_is_on_a_dashboard_or_in_an_alert():
    used = {name for _, expression in expressions() for name, _ in parts(expression)}
    bases = {re.sub(r"_(bucket|count|sum)$", "", name) for name in used}
    unseen = {
        name
        for name in declared()
        if re.sub(r"_(bucket|count|sum)$", "", name) not in bases
    }
    assert unseen == set(), "measured, and nobody looks at it"


def test_alarms_exist_from_the_start(page):
    known = (ROOT / "src/telemetry/names.rs").read_text()
    for constant, metric in (
        ("PAYMENT_ALARM_REASONS", "qiwi_payment_alarms_total"),
        ("EVENT_ALARM_REASONS", "qiwi_event_alarms_total"),
    ):
        listed = re.search(rf"pub const {constant}[^=]*= \[([^\]]*)\]", known)[1]
        reasons = set(re.findall(r'"([a-z_]+)"', listed))
        assert reasons == set(re.findall(rf'{metric}{{reason="([a-z_]+)"}}', page))
    raised = set()
    for path in sorted((ROOT / "src").rglob("*.rs")):
        if "telemetry" not in path.parts:
            raised |= set(re.findall(r'\.alarm\(\s*"([a-z_]+)"', path.read_text()))
    reasons = re.findall(r"pub const [A-Z]+_ALARM_REASONS[^=]*= \[([^\]]*)\]", known)
    assert raised == set(re.findall(r'"([a-z_]+)"', " ".join(reasons)))


def test_the_page_is_well_formed(page):
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    complaints = [line for line in result.stderr.splitlines() if "target_info" not in line]
    assert complaints == []


@pytest.mark.parametrize("path", ALERTS, ids=lambda path: path.stem)
def test_rules_are_well_formed(path):
    result = subprocess.run(
        ["promtool", "check", "rules", "--lint-fatal", path], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


def rules() -> dict[str, dict]:
    found = {}
    for path in ALERTS:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                assert rule["alert"] not in found
                found[rule["alert"]] = rule
    return found


def test_every_alert_fires_when_it_should_and_only_then():
    tests = ROOT / "tests/chart/alerts.test.yaml"
    result = subprocess.run(
        ["promtool", "test", "rules", tests], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    names = [of["name"] for of in yaml.safe_load(tests.read_text())["tests"]]
    assert sorted(names) == sorted(
        f"{alert} {case}" for alert in rules() for case in ("fires", "quiet")
    )


def test_alerts_say_what_is_needed():
    for name, rule in rules().items():
        assert name.startswith("QiwiGateway")
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, name
        assert rule["annotations"]["runbook_url"] == f"docs/operating.md#{name.lower()}"
        for sum_by in re.findall(r"\b(?:sum|max|min) by \(([^)]*)\)", rule["expr"]):
            assert "namespace, job" in sum_by, f"{name}: two releases would be one"
        # What a text shows of the labels is there.
        text = " ".join(rule["annotations"].values())
        labels = set(re.findall(r"\$labels\.([a-z_]+)", text))
        assert labels <= grouped(rule["expr"]), name


def test_every_alert_has_a_runbook_and_the_other_way_round():
    headings = re.findall(r"^#+ (QiwiGateway[A-Za-z]+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == set(rules())


def test_the_chart_has_all_rules_and_dashboards():
    (case,) = [path for path in CASES if name_of(path) == "everything"]
    values = yaml.safe_load(case.read_text())
    found = objects(case)
    (rule,) = of_kind(found, "PrometheusRule")
    shown = {of["alert"]: of for group in rule["spec"]["groups"] for of in group["rules"]}
    disabled = set(values["prometheusRule"]["disabled"])
    assert disabled <= set(rules()), "what is disabled exists"
    assert set(shown) == set(rules()) - disabled
    for name, of in shown.items():
        assert of["expr"] == rules()[name]["expr"]
        assert of["labels"] == rules()[name]["labels"] | {"team": "payments"}
    (case,) = [path for path in CASES if name_of(path) == "minimal"]
    more = ("--set", "prometheusRule.enabled=true",
            "--set", "prometheusRule.runbookUrl=https://example.com/runbook#")  # fmt: skip
    (rule,) = of_kind(objects(case, *more), "PrometheusRule")
    for group in rule["spec"]["groups"]:
        for of in group["rules"]:
            link = f"https://example.com/runbook#{of['alert'].lower()}"
            assert of["annotations"]["runbook_url"] == link
    maps = [of for of in of_kind(found, "ConfigMap") if of["metadata"]["name"] == "qiwi-dashboard"]
    (one,) = maps
    assert {name: json.loads(text) for name, text in one["data"].items()} == {
        path.name: json.loads(path.read_text()) for path in DASHBOARDS
    }
    assert "$labels" in str(shown), "Prometheus' own templates are left as they are"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_are_whole(path):
    dashboard = json.loads(path.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}  # fmt: skip
        assert not cells & taken, f"{panel['title']} lies on another panel"
        assert at["x"] + at["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"] and panel["targets"], panel["title"]
            for target in panel["targets"]:
                assert target["datasource"]["uid"] == "${datasource}"
    variables = {of["name"] for of in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$([a-z]+)\b", json.dumps(panels))) | {"datasource"}
    assert used <= variables
