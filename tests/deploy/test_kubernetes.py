"""The Kubernetes manifests: valid by the API's schemas, within the restricted profile, and true to the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.deploy.kubectl import copied, kustomize, needs_kubectl, render
from tests.deploy.sources import KUBERNETES, PROCFILE, base, component, compose, documents, is_read, pods
from tests.support.docs_pages import page
from tests.support.json_schema import check_kubernetes
from worker.decisions.table import Table
from worker.observability.metrics.catalogue import catalogue

if TYPE_CHECKING:
    from pathlib import Path

#: The oldest and the newest that the schemas are there for and that were supported when this was written.
VERSIONS: Final = ("1.34", "1.37")

#: Kinds that a cluster learns from others; no package ships their schemas.
LEARNED: Final = {"ScaledObject", "ServiceMonitor"}

OVERLAY: Final = KUBERNETES / "overlays" / "example"
each_process = pytest.mark.parametrize("process", PROCFILE)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_base_is_valid(version: str) -> None:
    """Strictly: a field that the API does not know is a fault."""
    for each in base().values():
        check_kubernetes(each, version)


def test_every_file_is_taken() -> None:
    for folder in (KUBERNETES / "base", OVERLAY, *(KUBERNETES / "components").iterdir()):
        (kustomization,) = documents(folder / "kustomization.yaml")
        files = {path.name for path in folder.iterdir()} - {"kustomization.yaml"}
        assert files == {name for name in kustomization.get("resources", ()) if "/" not in name}, folder


@needs_kubectl
def test_the_example_renders_and_is_valid() -> None:
    rendered = render(OVERLAY)
    for (kind, _), each in rendered.items():
        if kind not in LEARNED:
            check_kubernetes(each, VERSIONS[-1])
        assert kind == "Namespace" or each["metadata"]["namespace"] == "ekyc"
    assert {kind for kind, _ in rendered} >= LEARNED
    assert {kind for kind, _ in rendered} >= {kind for kind, _ in base()}
    (settings,) = (name for kind, name in rendered if kind == "ConfigMap")
    for process in PROCFILE:
        pod = rendered["Deployment", f"ekyc-{process}"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"] == "registry.example.com/ekyc-worker:0.1.0"
        assert container["envFrom"] == [{"configMapRef": {"name": settings}}]
    assert "replicas" not in rendered["Deployment", "ekyc-worker"]["spec"], "KEDA has them"


@needs_kubectl
def test_in_another_namespace_all_is_of_that_one(tmp_path: Path) -> None:
    """Queries among it: those of another namespace would find nothing, or somebody else's fleet."""
    rendered = render(copied(tmp_path, namespace="kyc-prod"))
    for (kind, _), each in rendered.items():
        assert each["metadata"]["name" if kind == "Namespace" else "namespace"] == "kyc-prod"
    queries = re.findall(r"query: (.*)", yaml.safe_dump(rendered["ScaledObject", "ekyc-worker"], width=1000))
    assert len(queries) == 2
    for query in queries:
        assert re.findall(r'namespace="([^"]*)"', query) == ["kyc-prod"]
    assert not re.search(r"\bekyc\.|namespace\W+ekyc\b", yaml.safe_dump_all(rendered.values()))


@needs_kubectl
def test_without_a_namespace_it_does_not_render(tmp_path: Path) -> None:
    """`kubectl apply --namespace=…` alone would leave the queries without theirs."""
    ran = kustomize(copied(tmp_path, namespace=None))
    assert ran.returncode != 0
    assert "metadata.namespace" in ran.stderr


@needs_kubectl
def test_components_that_a_cluster_has_not_can_be_left_out(tmp_path: Path) -> None:
    """And one that the example has not can be taken in."""
    rendered = render(copied(tmp_path, components=["../../components/otlp"]))
    assert {kind for kind, _ in rendered}.isdisjoint(LEARNED)
    assert ("NetworkPolicy", "ekyc-worker-to-the-collector") in rendered


@needs_kubectl
def test_a_component_that_the_overlay_must_complete_says_so() -> None:
    """Should the overlay not, a query that finds nothing is better than one of another namespace."""
    for trigger in component("keda")["spec"]["triggers"]:
        assert re.findall(r'namespace="([^"]*)"', trigger["metadata"]["query"]) == ["set by the overlay"]
        assert trigger["metadata"]["serverAddress"] == "set by the overlay"
    for trigger in render(OVERLAY)["ScaledObject", "ekyc-worker"]["spec"]["triggers"]:
        assert trigger["metadata"]["serverAddress"].startswith("http://")


@needs_kubectl
def test_a_broker_of_its_own_is_told_to_every_process(tmp_path: Path) -> None:
    rendered = render(copied(tmp_path, components=["../../components/broker"]))
    for process in PROCFILE:
        each = rendered["Deployment", f"ekyc-{process}"]
        check_kubernetes(each, VERSIONS[-1])
        pod = each["spec"]["template"]["spec"]
        (secret,) = (volume["secret"] for volume in pod["volumes"] if "secret" in volume)
        told = {"name": "CELERY_BROKER_URL_FILE", "value": "/run/secrets/ekyc/broker_url"}
        item = {"key": "broker_url", "path": "broker_url"}
        assert told in pod["containers"][0]["env"]
        assert item in secret["items"]
    (expression,) = rendered["NetworkPolicy", "ekyc-broker"]["spec"]["podSelector"]["matchExpressions"]
    assert set(expression["values"]) == set(PROCFILE)
    assert ports(rendered["NetworkPolicy", "ekyc-broker"]["spec"]) == {5671, 5672}


def test_traces_reach_a_collector_in_the_cluster_from_workers_alone() -> None:
    policy = component("otlp")
    check_kubernetes(policy, VERSIONS[-1])
    (labels,) = (
        each["spec"]["template"]["metadata"]["labels"]
        for (kind, name), each in base().items()
        if (kind, name) == ("Deployment", "ekyc-worker")
    )
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    assert policy["spec"]["policyTypes"] == ["Egress"]
    (port,) = ports(policy["spec"])
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{port}" in page("docs/traces.md").text


@each_process
def test_a_pod_is_within_the_restricted_profile(process: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a step further."""
    pod = pods()[process]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"emptyDir", "persistentVolumeClaim", "secret"}


@each_process
def test_a_pod_runs_what_the_procfile_says_with_variables_that_are_read(process: str) -> None:
    pod = pods()[process]
    (container,) = pod["containers"]
    assert tuple(container["command"]) == PROCFILE[process]
    assert all(is_read(variable["name"]) for variable in container["env"])
    (overlay,) = documents(OVERLAY / "kustomization.yaml")
    for source in (documents(KUBERNETES / "base" / "kustomization.yaml")[0], overlay):
        (settings,) = source["configMapGenerator"]
        assert all(is_read(text.partition("=")[0]) for text in settings["literals"])


@each_process
def test_a_pod_has_the_secrets_that_it_names_and_no_others(process: str) -> None:
    pod = pods()[process]
    (container,) = pod["containers"]
    (secret,) = (volume["secret"] for volume in pod["volumes"] if "secret" in volume)
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "secrets")
    mounted = {f"{mount['mountPath']}/{item['path']}" for item in secret["items"]}
    named = {variable["value"] for variable in container["env"] if variable["name"].endswith("_FILE")}
    assert mounted == {path for path in named if path.startswith("/run/")}
    assert (secret["secretName"], secret["defaultMode"]) == ("ekyc-secrets", 0o440)


@each_process
def test_a_pod_has_probes_and_bounds(process: str) -> None:
    (container,) = pods()[process]["containers"]
    wanted = {"startupProbe", "livenessProbe"} | (set() if process == "worker" else {"readinessProbe"})
    assert {name for name in container if name.endswith("Probe")} == wanted
    assert not any("ping" in str(container[name]) for name in wanted)
    resources = container["resources"]
    assert resources["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
    # A limit of CPU would throttle a worker in the middle of its leases.
    assert resources["limits"].keys() == {"memory", "ephemeral-storage"}


def test_a_hung_loop_is_restarted_and_one_that_waits_is_not() -> None:
    (container,) = pods()["worker"]["containers"]
    assert container["livenessProbe"]["exec"] == container["startupProbe"]["exec"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    *_, file, longest = container["livenessProbe"]["exec"]["command"]
    assert file == variables["EKYC_HEALTH_FILE"]
    # A dispatcher sleeps 5 s on Redis, and a Redis that hangs keeps it for two tries of 10 s.
    assert float(longest) > 5 + 2 * 10


def test_selectors_select_what_they_should() -> None:
    labels = {
        name: each["spec"]["template"]["metadata"]["labels"]
        for (kind, name), each in base().items()
        if kind == "Deployment"
    }
    for (kind, name), each in base().items():
        if kind in {"Deployment", "PodDisruptionBudget"}:
            assert each["spec"]["selector"]["matchLabels"] == labels[name]
    service, monitor = base()["Service", "ekyc-web"], component("servicemonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["spec"]["selector"] == labels["ekyc-web"]
    (port,) = service["spec"]["ports"]
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == [port["name"]]


def test_a_drained_node_takes_a_part_of_the_workers_at_the_most() -> None:
    (name,) = (name for kind, name in base() if kind == "PodDisruptionBudget")
    assert name == "ekyc-worker"
    assert base()["Deployment", name]["spec"]["replicas"] > 1
    budget = base()["PodDisruptionBudget", name]["spec"]
    assert 0 < int(budget["maxUnavailable"].removesuffix("%")) <= 50
    spread = {each["topologyKey"] for each in pods()["worker"]["topologySpreadConstraints"]}
    assert spread == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}


def test_there_is_one_web_at_any_time() -> None:
    """docs/metrics.md: two have the same figures, and a sum would count everything twice."""
    web = base()["Deployment", "ekyc-web"]["spec"]
    assert (web["replicas"], web["strategy"]) == (1, {"type": "Recreate"})
    assert "scale" not in compose()["services"]["web"]


def test_the_network_is_closed_but_for_what_is_needed() -> None:
    policies = {name: each["spec"] for (kind, name), each in base().items() if kind == "NetworkPolicy"}
    closed = policies.pop("ekyc-nothing-else")
    assert closed == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "ekyc"}},
        "policyTypes": ["Ingress", "Egress"],
    }
    assert {name: ports(policy) for name, policy in policies.items()} == {
        "ekyc-dns-and-redis": {53, 6379},
        "ekyc-worker-to-the-internet": {443},
        "ekyc-monitoring-to-web": {"http"},
    }
    (entry,) = policies["ekyc-monitoring-to-web"]["ingress"]
    assert entry["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]
    (way_out,) = policies["ekyc-worker-to-the-internet"]["egress"]
    assert "169.254.0.0/16" in way_out["to"][0]["ipBlock"]["except"], "the cloud's metadata"


def ports(policy: dict[str, Any]) -> set[Any]:
    rules = policy.get("ingress", []) + policy.get("egress", [])
    return {port["port"] for rule in rules for port in rule["ports"]}


#: https://keda.sh/docs/2.20/reference/scaledobject-spec/ and …/scalers/prometheus/, as far as it is used here.
SPEC: Final = {
    "scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "triggers", "fallback", "advanced",
}  # fmt: skip
METADATA: Final = {"serverAddress", "query", "threshold", "ignoreNullValues"}


def test_keda_is_told_what_it_understands() -> None:
    spec = component("keda")["spec"]
    assert spec.keys() == SPEC
    for trigger in spec["triggers"]:
        assert trigger.keys() == {"type", "name", "metricType", "metadata"}
        assert trigger["type"] == "prometheus"
        assert trigger["metricType"] in {"AverageValue", "Value"}
        assert trigger["metadata"].keys() == METADATA
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
        assert float(trigger["metadata"]["threshold"]) > 0
    assert spec["fallback"].keys() == {"failureThreshold", "replicas", "behavior"}
    assert spec["scaleTargetRef"] == {"name": "ekyc-worker"}


def test_workers_follow_what_is_due_and_never_the_queue() -> None:
    spec = component("keda")["spec"]
    queries = [trigger["metadata"]["query"] for trigger in spec["triggers"]]
    asked = {name for query in queries for name in re.findall(r"ekyc_\w+", query)}
    assert asked == {"ekyc_verifications_due", "ekyc_oldest_due_seconds"}
    assert asked <= {metric.name for metric in catalogue(Table.load(None))}
    for trigger, query in zip(spec["triggers"], queries, strict=True):
        assert "max" in query, "should two of `web` be scraped, they say the same"
        assert trigger["metadata"]["ignoreNullValues"] == "false", "no figures is no zero"
    assert spec["minReplicaCount"] > 0, "it is workers that claim"
