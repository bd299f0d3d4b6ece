"""The Dockerfile: what it copies is enough, and what it makes is what the chart expects."""

import re
import shutil
import subprocess

from chart import ROOT, gateway, objects, values, workload

TEXT = (ROOT / "Dockerfile").read_text()
BUILD, IMAGE = re.split(r"^FROM scratch$", TEXT, flags=re.MULTILINE)


def test_the_image_has_nothing_but_the_binary_and_authorities():
    copied = re.findall(r"^COPY (.*)$", IMAGE, re.MULTILINE)
    assert copied == [
        "--from=build /image/ /",
        "--from=build --chown=65532:65532 /empty /tmp",
        "--from=build --chown=65532:65532 /empty /var/lib/qiwi-gateway",
    ]
    made = set(re.findall(r"/image(/[a-z/-]+)", BUILD))
    assert {path.rstrip("/") for path in made} == {"/usr/local/bin", "/etc/ssl/certs"}
    assert not re.search(r"^(ADD|RUN|SHELL)", IMAGE, re.MULTILINE)


def test_user_ports_and_paths_are_the_charts():
    user, group = re.search(r"^USER (\d+):(\d+)$", IMAGE, re.MULTILINE).groups()
    own = values()["runAs"]
    assert (int(user), int(group)) == (own["user"], own["group"])
    assert IMAGE.count(f"--chown={user}:{group}") == 2
    found = objects(None)
    container = gateway(found)
    ports = {str(port["containerPort"]) for port in container["ports"]}
    assert set(re.search(r"^EXPOSE (.*)$", IMAGE, re.MULTILINE)[1].split()) == ports
    assert "command" not in container, "the image's entry point is the gateway"
    assert container["args"][0] == "serve"
    mounts = {of["name"]: of["mountPath"] for of in container["volumeMounts"]}
    assert f"QIWI_GATEWAY_STATE__PATH={mounts['state']}" in IMAGE
    assert workload(found)["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == int(user)


def test_the_base_is_an_argument_and_the_toolchain_is_new_enough():
    assert re.search(r"^FROM \$\{RUST_IMAGE\} AS build$", BUILD, re.MULTILINE)
    default = re.search(r"^ARG RUST_IMAGE=docker\.io/library/rust:(\d+)\.(\d+)-", TEXT, re.MULTILINE)
    cargo = (ROOT / "Cargo.toml").read_text()
    least = re.search(r'^rust-version = "(\d+)\.(\d+)"', cargo, re.MULTILINE)
    assert tuple(map(int, default.groups())) >= tuple(map(int, least.groups()))


def test_what_is_copied_is_enough_for_cargo(tmp_path):
    ignored = shutil.ignore_patterns("node_modules", "__pycache__")
    for row in re.findall(r"^COPY ([^-].*)$", BUILD, re.MULTILINE):
        *sources, target = row.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / source, ignore=ignored)
            else:
                shutil.copy(ROOT / source, tmp_path / source)
            kept = (ROOT / ".dockerignore").read_text().splitlines()
            assert f"!{source}" in kept, f".dockerignore keeps {source} away"
    # Looks at the targets as a build does, and builds nothing. Whether every package is at hand is
    # no matter here.
    result = subprocess.run(
        ["cargo", "fetch", "--offline", "--locked"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "failed to parse manifest" not in result.stderr, result.stderr
    # What the sources read while they are compiled.
    for path in [*sorted((ROOT / "src").rglob("*.rs")), ROOT / "build.rs"]:
        for read in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', path.read_text()):
            place = (path.parent / read).resolve().relative_to(ROOT)
            assert (tmp_path / place).exists(), f"{path.name} reads {place}"
