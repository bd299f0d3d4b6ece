"""Renders the chart and looks at what came out."""

import functools
import json
import os
import pathlib
import re
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/qiwi-gateway"
CASES = sorted((CHART / "ci").glob("*-values.yaml"))
REFUSED = sorted((ROOT / "tests/chart/refused").glob("*.yaml"))
KUBE = [f"1.{minor}" for minor in range(29, 36)]
RELEASE, NAMESPACE = "rel", "pay"

HELM = "helm"


def name_of(path: pathlib.Path) -> str:
    """What a test of a values file is called."""
    return path.stem.removesuffix("-values")


def helm(*arguments: str) -> subprocess.CompletedProcess:
    """Runs helm with a home of its own, so that no configuration of the user's reaches it."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(
        [HELM, *arguments], capture_output=True, text=True, timeout=60, env=environment, check=False
    )


def template(values: pathlib.Path | None, *more: str) -> subprocess.CompletedProcess:
    """Renders the chart with a values file; what it printed, good or bad."""
    files = ["--values", str(values)] if values else []
    return helm("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *files, *more)


def documents(text: str) -> list[dict]:
    """The objects of a rendered text."""
    return [of for of in yaml.load_all(text, Loader=yaml.CSafeLoader) if of]


@functools.lru_cache(maxsize=None)
def rendered(values: pathlib.Path | None, kube: str = "1.35", *more: str) -> str:
    """The rendered text of a values file that has to be good."""
    result = template(values, "--kube-version", f"{kube}.0", *more)
    assert result.returncode == 0, result.stderr
    return result.stdout


def objects(values: pathlib.Path | None, *more: str) -> list[dict]:
    """The objects of a values file that has to be good."""
    return documents(rendered(values, "1.35", *more))


def of_kind(found: list[dict], kind: str) -> list[dict]:
    """Those of one kind."""
    return [of for of in found if of["kind"] == kind]


def workload(found: list[dict]) -> dict:
    """The StatefulSet or the Deployment; there is exactly one."""
    (one,) = of_kind(found, "StatefulSet") + of_kind(found, "Deployment")
    return one


def pods(found: list[dict]) -> list[tuple[str, dict]]:
    """Every pod, of a template or bare, as a name and its metadata and spec."""
    templates = []
    for of in found:
        if of["kind"] == "Pod":
            templates.append((f"Pod/{of['metadata']['name']}", of))
        elif "template" in of.get("spec", {}):
            templates.append((f"{of['kind']}/{of['metadata']['name']}", of["spec"]["template"]))
    return templates


def gateway(found: list[dict]) -> dict:
    """The gateway's container."""
    (one,) = workload(found)["spec"]["template"]["spec"]["containers"]
    return one


def configuration(found: list[dict]) -> str:
    """The gateway's configuration file."""
    (text,) = [
        of["data"]["gateway.toml"]
        for of in of_kind(found, "ConfigMap")
        if "gateway.toml" in (of.get("data") or {})
    ]
    return text


def values() -> dict:
    """The chart's own values."""
    return yaml.safe_load((CHART / "values.yaml").read_text())


def schema() -> dict:
    """The schema of its values."""
    return json.loads((CHART / "values.schema.json").read_text())


def milliseconds(duration: str) -> int:
    """A duration such as 1m30s."""
    units = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
    return sum(
        int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h)", duration)
    )
