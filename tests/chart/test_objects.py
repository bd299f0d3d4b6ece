"""The rendered objects: valid, restricted, and fitting one another."""

import ipaddress
import json
import pathlib
import tarfile

import kubernetes_validate
import jsonschema
import pytest
import yaml

from chart import (
    CASES, CHART, KUBE, NAMESPACE, ROOT, configuration, documents, gateway, helm, milliseconds,
    name_of, objects, of_kind, pods, rendered, template, values, workload,
)  # fmt: skip

cases = pytest.mark.parametrize("case", [None, *CASES], ids=lambda of: name_of(of) if of else "none")
# Definitions of kinds that are not Kubernetes' own may lie beside the checkout.
CRDS = ROOT.parent / "shared/k8s-crds"
OTHERS = {"ServiceMonitor", "PrometheusRule", "HTTPRoute", "GRPCRoute"}


def case(name: str) -> pathlib.Path:
    (path,) = [path for path in CASES if name_of(path) == name]
    return path


@cases
def test_lint(case):
    files = ["--values", str(case)] if case else []
    result = helm("lint", "--strict", str(CHART), *files)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("kube", KUBE)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_objects_are_valid_for_every_supported_kubernetes(case, kube):
    for of in documents(rendered(case, kube)):
        if of["kind"] in OTHERS:
            continue
        # Strict: what the schema does not know is a mistake. Raises when there is no schema.
        kubernetes_validate.validate(of, kube, strict=True)


def closed(schema: dict) -> dict:
    """A schema of a definition that refuses what it does not know."""
    if not isinstance(schema, dict):
        return schema
    out = {key: closed(value) for key, value in schema.items() if not key.startswith("x-")}
    if str(out.get("pattern", "")).startswith("^(?i)"):
        # Go takes the flag anywhere, Python at the beginning only.
        out["pattern"] = out["pattern"].replace("^(?i)", "(?i)^")
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    for key in ("properties", "items", "additionalProperties"):
        if key == "properties" and key in schema:
            out[key] = {name: closed(of) for name, of in schema[key].items()}
    if "properties" in schema and "additionalProperties" not in schema:
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            out["additionalProperties"] = False
    return out


def definitions() -> dict[tuple[str, str], dict]:
    found = {}
    for path in sorted(CRDS.glob("*.yaml")):
        for of in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            if not of or of.get("kind") != "CustomResourceDefinition":
                continue
            for version in of["spec"]["versions"]:
                group = f"{of['spec']['group']}/{version['name']}"
                schema = closed(version["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = {"type": "object"}
                found[group, of["spec"]["names"]["kind"]] = schema
    return found


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_other_kinds_are_valid_where_their_definitions_are_there(case):
    known = definitions()
    others = [of for of in objects(case) if of["kind"] in OTHERS]
    for of in others:
        schema = known.get((of["apiVersion"], of["kind"]))
        if schema is not None:
            jsonschema.validate(of, schema)
    if others and not known:
        pytest.skip("no definitions beside the checkout")


def test_other_kinds_have_what_their_controllers_need():
    found = objects(case("everything"))
    (route,) = of_kind(found, "HTTPRoute")
    assert route["spec"]["parentRefs"] and route["spec"]["hostnames"]
    (rule,) = route["spec"]["rules"]
    assert rule["matches"] == [
        {"path": {"type": "PathPrefix", "value": "/notifications/"}, "method": "POST"}
    ]
    (backend,) = rule["backendRefs"]
    service = {of["metadata"]["name"]: of for of in of_kind(found, "Service")}[backend["name"]]
    assert backend["port"] in [port["port"] for port in service["spec"]["ports"]]
    (monitor,) = of_kind(found, "ServiceMonitor")
    selected = [
        of
        for of in of_kind(found, "Service")
        if monitor["spec"]["selector"]["matchLabels"].items() <= of["metadata"]["labels"].items()
    ]
    assert [of["metadata"]["name"] for of in selected] == ["qiwi-metrics"]
    ports = {port["name"] for port in selected[0]["spec"]["ports"]}
    assert {of["port"] for of in monitor["spec"]["endpoints"]} <= ports
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}


@cases
def test_no_object_is_there_twice_and_every_name_fits(case):
    found = [(of["kind"], of["metadata"]["name"]) for of in objects(case)]
    assert len(found) == len(set(found))
    for kind, name in found:
        assert len(name) <= 63, f"{kind} {name}"


def test_long_release_names_fit():
    result = helm("template", "r" * 53, str(CHART), "--values", str(case("nats")))
    for of in documents(result.stdout):
        assert len(of["metadata"]["name"]) <= 63
        for value in of["metadata"].get("labels", {}).values():
            assert len(value) <= 63


@cases
def test_every_pod_is_restricted(case):
    found = pods(objects(case))
    assert len(found) == 2, "the gateway's and the test's"
    for name, pod in found:
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert not any(spec.get(of) for of in ("hostNetwork", "hostPID", "hostIPC")), name
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        allowed = {"configMap", "projected", "emptyDir", "persistentVolumeClaim"}
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= allowed, name
        for container in spec["containers"] + spec.get("initContainers", []):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["privileged"] is False, name
            assert own["readOnlyRootFilesystem"] is True, name
            assert own["runAsNonRoot"] is True and own["runAsUser"] > 0, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert own["seccompProfile"] == {"type": "RuntimeDefault"}, name
            resources = container["resources"]
            assert resources["requests"]["cpu"] and resources["requests"]["memory"], name
            assert resources["limits"]["memory"], name
            assert not any("hostPort" in port for port in container.get("ports", [])), name


@cases
def test_service_account_has_no_token(case):
    for of in of_kind(objects(case), "ServiceAccount"):
        assert of["automountServiceAccountToken"] is False


@cases
def test_selectors_agree_and_do_not_change_with_versions(case):
    found = objects(case)
    labels = workload(found)["spec"]["template"]["metadata"]["labels"]
    selector = workload(found)["spec"]["selector"]["matchLabels"]
    for of in of_kind(found, "Service"):
        assert of["spec"]["selector"] == selector
    for of in of_kind(found, "PodDisruptionBudget"):
        assert of["spec"]["selector"]["matchLabels"] == selector
    for of in of_kind(found, "NetworkPolicy"):
        assert of["spec"]["podSelector"]["matchLabels"] == selector
    spec = workload(found)["spec"]["template"]["spec"]
    for of in spec.get("topologySpreadConstraints", []):
        assert of["labelSelector"]["matchLabels"] == selector
    assert selector.items() <= labels.items()
    assert set(selector) == {
        f"app.kubernetes.io/{of}" for of in ("name", "instance", "component")
    }, "a selector is immutable: no version, no label of the user's"
    for claim in workload(found)["spec"].get("volumeClaimTemplates", []):
        assert claim["metadata"]["labels"] == selector, "claim templates are immutable, too"
    (test,) = of_kind(found, "Pod")
    assert not selector.items() <= test["metadata"]["labels"].items(), "no traffic to the test"


def test_labels_of_the_user_do_not_replace_those_selectors_stand_on():
    more = (
        "--set", "commonLabels.app\\.kubernetes\\.io/name=x",
        "--set", "podLabels.app\\.kubernetes\\.io/instance=y",
    )  # fmt: skip
    found = objects(case("nats"), *more)
    selector = workload(found)["spec"]["selector"]["matchLabels"]
    assert selector.items() <= workload(found)["spec"]["template"]["metadata"]["labels"].items()


@cases
def test_ports_are_the_configured_ones_and_all_that_refer_to_them_exist(case):
    found = objects(case)
    ports = {port["name"]: port["containerPort"] for port in gateway(found)["ports"]}
    config = configuration(found)
    assert f'listen = "0.0.0.0:{ports["grpc"]}"' in config
    assert f'listen = "0.0.0.0:{ports["admin"]}"' in config
    if "notifications" in ports:
        assert f'listen = "0.0.0.0:{ports["notifications"]}"' in config
    for of in of_kind(found, "Service"):
        for port in of["spec"]["ports"]:
            assert port["targetPort"] in ports
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        how = gateway(found)[probe]
        if "grpc" in how:
            assert how["grpc"]["port"] == ports["grpc"]
        else:
            assert how["httpGet"]["port"] == "admin"
    (policy,) = of_kind(found, "NetworkPolicy")
    opened = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert opened == set(ports), "each port of the container, and no other"


def test_probe_paths_are_those_the_gateway_serves():
    source = (ROOT / "src/admin.rs").read_text()
    for name in ("minimal", "tls"):
        container = gateway(objects(case(name)))
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert f'.route("{container[probe]["httpGet"]["path"]}"' in source
    assert gateway(objects(case("tls")))["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    container = gateway(objects(case("everything")))
    assert "grpc" in container["readinessProbe"] and "grpc" in container["startupProbe"]
    assert "httpGet" in container["livenessProbe"], "gRPC health says no while it drains"


@cases
def test_the_grpc_port_is_in_no_way_in_from_outside(case):
    found = objects(case)
    services = {of["metadata"]["name"]: of for of in of_kind(found, "Service")}
    for ingress in of_kind(found, "Ingress"):
        assert "defaultBackend" not in ingress["spec"]
        for rule in ingress["spec"]["rules"]:
            assert rule["host"]
            for path in rule["http"]["paths"]:
                assert path["path"].endswith("/notifications/")
                assert path["pathType"] == "Prefix"
                backend = path["backend"]["service"]
                ports = services[backend["name"]]["spec"]["ports"]
                assert [port["targetPort"] for port in ports] == ["notifications"]
                assert backend["port"] == {"name": "notifications"}
    for route in of_kind(found, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                assert backend["name"].endswith("-notifications")


def test_engines_have_their_workloads():
    found = objects(case("embedded"))
    (stateful,) = of_kind(found, "StatefulSet")
    assert stateful["spec"]["replicas"] == 1
    assert not of_kind(found, "Deployment") + of_kind(found, "HorizontalPodAutoscaler")
    assert not of_kind(found, "PodDisruptionBudget"), "it would pin the only pod to its node"
    services = {of["metadata"]["name"]: of for of in of_kind(found, "Service")}
    assert services[stateful["spec"]["serviceName"]]["spec"]["clusterIP"] == "None"
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    mounts = {of["name"]: of["mountPath"] for of in gateway(found)["volumeMounts"]}
    assert f'path = "{mounts[claim["metadata"]["name"]]}"' in configuration(found)
    retention = stateful["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert retention == {"whenDeleted": "Retain", "whenScaled": "Retain"}

    found = objects(case("nats"))
    (deployment,) = of_kind(found, "Deployment")
    assert not of_kind(found, "StatefulSet")
    assert "replicas" not in deployment["spec"], "the autoscaler's business"
    (scaler,) = of_kind(found, "HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    most = scaler["spec"]["maxReplicas"] + 1
    assert f"replicas = {most}\n" in configuration(found), "the one that is being replaced counts"
    assert "replicas = 25\n" in configuration(objects(case("everything"))), "25 % of 20"
    (budget,) = of_kind(found, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert {of["topologyKey"] for of in spread} == {
        "kubernetes.io/hostname", "topology.kubernetes.io/zone"
    }  # fmt: skip

    found = objects(case("tls"))
    (deployment,) = of_kind(found, "Deployment")
    assert deployment["spec"]["replicas"] == 3
    assert not of_kind(found, "HorizontalPodAutoscaler")
    (budget,) = of_kind(found, "PodDisruptionBudget")
    assert budget["spec"] | {"selector": 0, "unhealthyPodEvictionPolicy": 0} == {
        "minAvailable": 2, "selector": 0, "unhealthyPodEvictionPolicy": 0
    }  # fmt: skip


def test_a_single_pod_has_no_budget_and_an_existing_claim_is_used():
    more = ("--set", "autoscaling.enabled=false", "--set", "replicaCount=1")
    assert not of_kind(objects(case("nats"), *more), "PodDisruptionBudget")
    found = objects(case("minimal"), "--set", "state.persistence.existingClaim=restored")
    assert "volumeClaimTemplates" not in workload(found)["spec"]
    volumes = workload(found)["spec"]["template"]["spec"]["volumes"]
    assert {"name": "state", "persistentVolumeClaim": {"claimName": "restored"}} in volumes


@cases
def test_the_grace_period_covers_the_drain(case):
    found = objects(case)
    config = configuration(found)
    seconds = workload(found)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    taken = dict(
        line.split(" = ", 1) for line in config.splitlines() if " = " in line and "[" not in line
    )
    # As docs/configuration.md has it, unless configured.
    documented = (ROOT / "docs/configuration.md").read_text()
    assert "| `send_max` | `QIWI_GATEWAY_PAYMENTS__SEND_MAX` | `20s` |" in documented
    parts = [taken["lame_duck"], taken["grace"], taken["telemetry_flush"]]
    parts.append(taken.get("send_max", "20s"))
    assert seconds >= sum(map(milliseconds, parts)) / 1000 + 10
    assert "lifecycle" not in gateway(found), "the gateway waits by itself"


def test_drain_defaults_are_the_gateways():
    documented = (ROOT / "docs/configuration.md").read_text()
    for value, key in (
        ("lameDuck", "lame_duck"), ("grace", "grace"), ("telemetryFlush", "telemetry_flush"),
    ):  # fmt: skip
        default = values()["drain"][value]
        assert f"| `{key}` | `QIWI_GATEWAY_DRAIN__{key.upper()}` | `{default}` |" in documented


def test_pods_are_replaced_for_what_is_not_read_again():
    def checksum(*more):
        of = workload(objects(case("minimal"), *more))["spec"]["template"]["metadata"]
        return of["annotations"]["checksum/config"]

    assert checksum() == checksum("--set-string", "image.tag=2")
    assert checksum() == checksum("--set", "callers.shop.groups={read,pay}")
    assert checksum() == checksum("--set", "credentials.main.poll=history")
    assert checksum() != checksum("--set", "config.limit.wait_max=1s")
    assert checksum() != checksum("--set", "callers=null")


@cases
def test_no_secret_is_rendered_and_every_file_is_mounted(case):
    found = objects(case)
    assert not of_kind(found, "Secret"), "the chart makes none"
    config = configuration(found)
    spec = workload(found)["spec"]["template"]["spec"]
    mounted = set()
    for volume in spec["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            assert set(source) == {"secret"}
            mounted |= {item["path"] for item in source["secret"]["items"]}
            assert source["secret"].get("optional") is not True
    named = set()
    for line in config.splitlines():
        key, _, value = line.partition(" = ")
        if key.endswith("_file"):
            path = json.loads(value)
            assert path.startswith("/run/secrets/qiwi-gateway/"), line
            named.add(path.removeprefix("/run/secrets/qiwi-gateway/"))
        assert not key.endswith("_env"), "a variable is readable by more than a file is"
    assert named == mounted
    for variable in gateway(found)["env"]:
        assert not variable["name"].startswith("QIWI_GATEWAY_")
        if "OTEL_EXPORTER_OTLP_HEADERS" == variable["name"]:
            assert "valueFrom" in variable
    assert not any("secret" in argument for argument in gateway(found)["args"])


def test_egress_follows_what_is_configured():
    def egress(name):
        (policy,) = of_kind(objects(case(name)), "NetworkPolicy")
        return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}

    assert egress("minimal") == {53, 443}
    assert egress("nats") == {53, 443, 4222, 8222}
    assert egress("tls") == {53, 443, 4222}, "the default port of NATS"
    assert egress("everything") == {53, 443, 4317, 4222, 8222, 3128}
    (policy,) = of_kind(objects(None), "NetworkPolicy")
    (https,) = [of for of in policy["spec"]["egress"] if of["ports"][0]["port"] == 443]
    (peer,) = https["to"]
    for kept in peer["ipBlock"]["except"]:
        assert ipaddress.ip_network(kept).is_private, "QIWI's addresses stay reachable"


def test_the_image_is_the_digest_when_there_is_one():
    assert gateway(objects(case("everything")))["image"].startswith(
        "registry.example.com/qiwi-gateway@sha256:"
    )
    assert gateway(objects(None))["image"] == "qiwi-gateway:0.1.0"


def test_versions_are_the_crates():
    crate = (ROOT / "Cargo.toml").read_text().split('version = "', 1)[1].split('"', 1)[0]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == crate
    assert chart["apiVersion"] == "v2", "what Helm 3 and 4 both read"


def test_notes_warn_of_what_is_open():
    def notes(*more):
        result = helm("install", "--dry-run=client", "rel", str(CHART), *more)
        assert result.returncode == 0, result.stderr
        return result.stdout.split("NOTES:", 1)[1]

    text = notes()
    assert "there are no callers" in text and "not encrypted" in text
    text = notes("--values", str(case("tls")))
    assert "there are no callers" not in text and "gRPC port is not encrypted" not in text
    assert "is a promise" in text
    text = notes("--values", str(case("embedded")))
    assert "https://pay.example.com/notifications/pay/shop" in text
    assert "/notifications/p2p/bills/<path secret>" in text


def test_a_package_has_the_same_content_each_time(tmp_path):
    contents = []
    for number in range(2):
        folder = tmp_path / str(number)
        result = helm("package", str(CHART), "--destination", str(folder))
        assert result.returncode == 0, result.stderr
        (package,) = folder.glob("*.tgz")
        with tarfile.open(package) as tar:
            contents.append({of.name: tar.extractfile(of).read() for of in tar if of.isfile()})
    assert contents[0] == contents[1]
    names = {name.removeprefix("qiwi-gateway/") for name in contents[0]}
    assert "values.schema.json" in names and "templates/statefulset.yaml" in names
    assert any(name.startswith("files/dashboards/") for name in names)
    assert not any(name.startswith("ci/") for name in names)


def test_the_test_pod_asks_the_service_where_it_can(binary):
    for name, asks in (("minimal", True), ("everything", True), ("tls", False)):
        found = objects(case(name))
        (pod,) = of_kind(found, "Pod")
        args = {of["name"]: of["args"] for of in pod["spec"]["containers"]}
        assert args["check-config"] == ["check-config", *gateway(found)["args"][1:]]
        assert ("health" in args) == asks, "it speaks no TLS"
        if asks:
            address = args["health"][args["health"].index("--address") + 1]
            host, port = address.removeprefix("http://").split(":")
            services = {of["metadata"]["name"]: of for of in of_kind(found, "Service")}
            assert int(port) in [of["port"] for of in services[host]["spec"]["ports"]]
            (policy,) = of_kind(found, "NetworkPolicy")
            (grpc,) = [of for of in policy["spec"]["ingress"] if of["ports"][0]["port"] == "grpc"]
            labels = pod["metadata"]["labels"].items()
            assert any(
                of.get("podSelector", {}).get("matchLabels", {"": 0}).items() <= labels
                for of in grpc["from"]
            ), "the network policy lets it in"


def test_templates_are_rendered_by_default_values_alone():
    assert template(None).returncode == 0
