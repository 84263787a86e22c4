"""The Kubernetes examples: fields that KubeRay documents, and commands, arguments and sizes that go together."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lungapp import __version__
from lungapp.archive.__main__ import _parse
from lungapp.replicas.deployment import Scale
from lungapp.replicas.door import VALUE, VARIABLE
from lungapp.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "hosting" / "kubernetes"

# Of the API reference of ray.io/v1 (KubeRay's docs/reference/api.md, 1.5), as far as they are used or likely to be.
FIELDS = {
    "RayJob": {
        "entrypoint", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit",
        "activeDeadlineSeconds", "runtimeEnvYAML", "rayClusterSpec", "entrypointNumCpus", "submitterPodTemplate",
    },
    "RayService": {
        "serveConfigV2", "rayClusterConfig", "upgradeStrategy", "serveService", "excludeHeadPodFromServeSvc",
    },
    "cluster": {
        "rayVersion", "headGroupSpec", "workerGroupSpecs", "enableInTreeAutoscaling", "autoscalerOptions",
        "authOptions",
    },
    "head": {"template", "rayStartParams", "serviceType", "headService", "enableIngress"},
    "workers": {
        "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template", "numOfHosts",
        "idleTimeoutSeconds",
    },
    "autoscaler": {
        "resources", "image", "imagePullPolicy", "securityContext", "idleTimeoutSeconds", "upscalingMode", "version",
        "env", "envFrom", "volumeMounts",
    },
    "container": {"name", "image", "env", "resources", "securityContext", "volumeMounts"},
}  # fmt: skip


def manifest(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


JOB, SERVICE, INGRESS = manifest("archive-job"), manifest("page-service"), manifest("page-ingress")
CLUSTERS = {"job": JOB["spec"]["rayClusterSpec"], "service": SERVICE["spec"]["rayClusterConfig"]}


def groups(cluster: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield cluster["headGroupSpec"]
    yield from cluster["workerGroupSpecs"]


def container(group: dict[str, Any]) -> dict[str, Any]:
    (only,) = group["template"]["spec"]["containers"]
    return only


@pytest.mark.parametrize("given", [JOB, SERVICE], ids=lambda given: given["kind"])
def test_the_fields_are_kuberays(given: dict[str, Any]) -> None:
    assert given["apiVersion"] == "ray.io/v1"
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,46}", given["metadata"]["name"])
    assert set(given["spec"]) <= FIELDS[given["kind"]]
    assert {"entrypoint", "serveConfigV2"} & set(given["spec"])
    assert given["spec"].get("submissionMode", "K8sJobMode") in ("K8sJobMode", "HTTPMode", "InteractiveMode")
    assert given["spec"].get("upgradeStrategy", {"type": "None"})["type"] in ("NewCluster", "None")


@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
def test_a_clusters_parts_fit_each_other(cluster: dict[str, Any]) -> None:
    assert set(cluster) <= FIELDS["cluster"]
    assert cluster["authOptions"] == {"mode": "token"}, "nobody else runs code on it"
    assert set(cluster.get("autoscalerOptions", {})) <= FIELDS["autoscaler"]
    assert set(cluster["headGroupSpec"]) <= FIELDS["head"]
    for group in cluster["workerGroupSpecs"]:
        assert set(group) <= FIELDS["workers"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert int(group["rayStartParams"]["num-cpus"]) <= int(container(group)["resources"]["limits"]["cpu"])
    for group in groups(cluster):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "numbers have to be quoted"
        spec, only = group["template"]["spec"], container(group)
        assert set(only) <= FIELDS["container"]
        assert only["image"].endswith(f"/lungapp-ray:{__version__}")
        assert only["resources"]["requests"] == only["resources"]["limits"]
        assert {mount["name"] for mount in only["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}


PAGE = list(yaml.safe_load_all((FOLDER / "page.yaml").read_text(encoding="utf-8")))
RAY_NETWORK = list(yaml.safe_load_all((FOLDER / "ray-network.yaml").read_text(encoding="utf-8")))


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (document,) = [document for document in documents if document["kind"] == kind]
    return document


def pods() -> dict[str, dict[str, Any]]:
    """Every pod of the examples, by where it stands."""
    found = {"page": one(PAGE, "Deployment")["spec"]["template"]["spec"]}
    for name, cluster in CLUSTERS.items():
        for group in groups(cluster):
            found[f"{name} {group.get('groupName', 'head')}"] = group["template"]["spec"]
    return found


@pytest.mark.parametrize("spec", pods().values(), ids=pods())
def test_every_pod_has_no_rights(spec: dict[str, Any]) -> None:
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for only in spec["containers"]:
        rights = only["securityContext"]
        assert rights == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
        }  # fmt: skip
        assert "/tmp" in {mount["mountPath"] for mount in only["volumeMounts"]}, "the one place that is written to"


def test_only_the_autoscalers_pod_may_ask_kubernetes() -> None:
    tokens = {name for name, spec in pods().items() if spec.get("automountServiceAccountToken", True)}
    assert tokens == {"service head"}
    assert CLUSTERS["service"]["enableInTreeAutoscaling"] is True
    rights = CLUSTERS["service"]["autoscalerOptions"]["securityContext"]
    assert rights == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_the_page_is_probed_for_life_and_for_readiness() -> None:
    spec = pods()["page"]
    (only,) = spec["containers"]
    paths = {name: only[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/health", "liveness": "/health", "readiness": "/ready"}
    (port,) = only["ports"]
    assert f"GRADIO_SERVER_PORT={port['containerPort']}" in (ROOT / "Dockerfile").read_text()
    assert all(only[f"{name}Probe"]["httpGet"]["port"] == port["name"] for name in paths)
    environment = {entry["name"]: entry.get("value", "") for entry in only["env"]}
    Settings.from_env(environment)
    assert only["image"].endswith(f":{__version__}")


@pytest.mark.parametrize("documents", [PAGE, RAY_NETWORK], ids=["page", "ray"])
def test_the_network_and_disruptions_are_limited(documents: list[dict[str, Any]]) -> None:
    policy = one(documents, "NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert all(rule.get("from") for rule in policy["ingress"]), "nobody from everywhere"
    assert one(documents, "PodDisruptionBudget")["spec"]["minAvailable"] == 1


def test_the_pages_parts_select_its_pods() -> None:
    deployment = one(PAGE, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == one(PAGE, "Service")["spec"]["selector"] == labels
    assert one(PAGE, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    budget = one(PAGE, "PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == labels
    assert deployment["replicas"] > budget["minAvailable"], "a node can be emptied"
    assert one(PAGE, "NetworkPolicy")["spec"]["egress"] == [], "the page fetches nothing"


@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
def test_the_clusters_ray_is_the_pinned_one(cluster: dict[str, Any]) -> None:
    for file in ("requirements-archive.txt", "requirements-replicas.txt"):
        assert f"ray=={cluster['rayVersion']} " in (ROOT / file).read_text()


def test_the_jobs_command_is_one_and_has_room() -> None:
    python, flag, module, *arguments = shlex.split(JOB["spec"]["entrypoint"])
    assert (python, flag, module) == ("python", "-m", "lungapp.archive")
    options = _parse(arguments)
    (workers,) = CLUSTERS["job"]["workerGroupSpecs"]
    assert options.workers == workers["replicas"] * int(workers["rayStartParams"]["num-cpus"])
    assert options.address
    for group in groups(CLUSTERS["job"]):
        mounts = {mount["mountPath"]: mount for mount in container(group)["volumeMounts"]}
        assert mounts[options.source]["readOnly"] is True
        assert str(options.out.parent) in mounts


def serve_config() -> dict[str, Any]:
    return yaml.safe_load(SERVICE["spec"]["serveConfigV2"])


def test_the_services_replicas_have_room() -> None:
    (application,) = serve_config()["applications"]
    assert application["import_path"] == "lungapp.replicas:app"
    scale = Scale.read(application["args"])
    (workers,) = CLUSTERS["service"]["workerGroupSpecs"]
    assert (scale.replicas, scale.most) == (workers["minReplicas"], workers["maxReplicas"])
    assert scale.cpus == int(workers["rayStartParams"]["num-cpus"]), "one replica a pod"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own, of pydantic
def test_serve_takes_the_services_configuration() -> None:
    pytest.importorskip("mmh3", reason="needs Ray Serve: pip install -r requirements-replicas.txt")
    from ray.serve.schema import ServeDeploySchema

    (application,) = ServeDeploySchema.model_validate(serve_config()).applications
    assert application.route_prefix == "/"


def test_every_pod_of_the_service_has_the_door_and_settings_that_are_ones() -> None:
    known = (ROOT / "lungapp" / "settings.py").read_text()
    for group in groups(CLUSTERS["service"]):
        environment = {entry["name"]: entry.get("value", "") for entry in container(group)["env"]}
        assert environment.pop(VARIABLE) == VALUE
        assert all(name in known for name in environment)
        assert Settings.from_env(environment).limits.max_total_bytes == 512 * 2**20
    assert f"{VARIABLE}={VALUE}" in (FOLDER / "Dockerfile").read_text()


def test_the_ingress_leads_to_the_service() -> None:
    (rule,) = INGRESS["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    backend = path["backend"]["service"]
    assert backend["name"] == f"{SERVICE['metadata']['name']}-serve-svc", "as KubeRay calls it"
    assert backend["port"]["number"] == serve_config()["http_options"]["port"]
    assert INGRESS["spec"]["tls"][0]["hosts"] == [rule["host"]]
    size = INGRESS["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    assert size == "512m", "what a pod's LUNGAPP_MAX_TOTAL_BYTES is"


def test_the_image_gets_what_it_copies() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"requirements-\w+\.txt", re.search(r"^COPY .*", (FOLDER / "Dockerfile").read_text(), re.M)[0])  # type: ignore[index]
    assert copied and all((ROOT / name).is_file() and f"!{name}" in ignored for name in copied)
