"""The chart, rendered by both majors of Helm with every example of values."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "usage-exporter"
EXAMPLES = sorted((CHART / "ci").glob("*-values.yaml"))
BINARIES = {name: ROOT / ".cache" / "helm" / name / "helm" for name in ("helm3", "helm4")}

Document = dict[str, Any]


def helm_command(name: str) -> str:
    if BINARIES[name].exists():
        return str(BINARIES[name])
    return pytest.fail(f"{name} is not installed. Run: bash .ci/install-e2e")


@pytest.fixture(params=sorted(BINARIES))
def helm(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Helm that leaves nothing behind in the home folder."""
    for word in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"HELM_{word}_HOME", str(tmp_path / word.lower()))
    return helm_command(request.param)


def call(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the program is Helm, from our own folder
        command, check=False, capture_output=True, text=True, timeout=60
    )


def render(helm: str, *options: str) -> list[Document]:
    done = call(helm, "template", "demo", str(CHART), "--namespace=metrics", *options)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def only(documents: Sequence[Document], kind: str) -> Document:
    found = [document for document in documents if document["kind"] == kind]
    assert len(found) == 1, f"{len(found)} objects of kind {kind}"
    return found[0]


def pods(documents: Sequence[Document]) -> list[Document]:
    """The specs of everything that becomes a pod."""
    bare = [document["spec"] for document in documents if document["kind"] == "Pod"]
    templates = [d["spec"]["template"]["spec"] for d in documents if d["kind"] == "Deployment"]
    return bare + templates


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_the_chart_is_clean_for_every_example(helm: str, values: Path) -> None:
    done = call(helm, "lint", "--strict", str(CHART), f"--values={values}")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_every_pod_meets_the_restricted_standard(helm: str, values: Path) -> None:
    specs = pods(render(helm, f"--values={values}"))
    assert len(specs) == 2
    for spec in specs:
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_every_object_of_the_chart_is_labelled_and_in_its_namespace(
    helm: str, values: Path
) -> None:
    for document in render(helm, f"--values={values}"):
        metadata = document["metadata"]
        if metadata["name"].endswith("-extra"):
            continue  # the user's own object, as it was written
        assert metadata["namespace"] == "metrics"
        assert metadata["labels"]["app.kubernetes.io/instance"] == "demo"
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"


def test_the_selectors_meet_the_pods_and_not_the_test(helm: str) -> None:
    documents = render(helm)
    template = only(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    test = only(documents, "Pod")["metadata"]["labels"]
    wanted = only(documents, "Service")["spec"]["selector"]
    assert only(documents, "Deployment")["spec"]["selector"]["matchLabels"] == wanted
    assert wanted.items() <= template.items()
    assert not wanted.items() <= test.items()


def test_config_and_keys_become_files_where_the_exporter_looks(helm: str) -> None:
    documents = render(helm, f"--values={CHART}/ci/minimal-values.yaml")
    spec = only(documents, "Deployment")["spec"]["template"]["spec"]
    container = spec["containers"][0]
    paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert paths["config"] == "/etc/usage-exporter"
    assert paths["secrets"] == "/etc/usage-exporter/secrets"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["secrets"]["secret"]["secretName"] == "usage-exporter-keys"
    assert volumes["state"] == {"name": "state", "emptyDir": {"sizeLimit": "256Mi"}}
    config = yaml.safe_load(only(documents, "ConfigMap")["data"]["config.yaml"])
    assert config["targets"][0]["credentials"] == {"token_file": "secrets/tpstreams"}
    assert config["state"]["file"].startswith(paths["state"])
    assert "--config.file=/etc/usage-exporter/config.yaml" in container["args"]
    assert not [mount for mount in container["volumeMounts"] if "subPath" in mount]


def test_no_secret_is_ever_rendered(helm: str) -> None:
    for values in EXAMPLES:
        assert "Secret" not in {d["kind"] for d in render(helm, f"--values={values}")}


def test_the_probes_ask_about_the_exporter_and_never_about_a_vendor(helm: str) -> None:
    container = only(render(helm), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["httpGet"] == {"path": "/-/healthy", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "http"}
    assert container["startupProbe"]["httpGet"]["path"] == "/-/healthy"


def test_a_change_of_the_config_makes_new_pods(helm: str) -> None:
    def checksum(*options: str) -> str:
        template = only(render(helm, *options), "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum() == checksum()
    assert checksum() != checksum("--set=config.global.poll_interval=7m")


def test_large_numbers_in_the_config_stay_numbers(helm: str) -> None:
    documents = render(helm, '--set-json=config.global={"big": 5000000000, "part": 0.25}')
    config = yaml.safe_load(only(documents, "ConfigMap")["data"]["config.yaml"])
    assert config["global"] == {"big": 5000000000, "part": 0.25}


def test_a_claim_that_mounts_once_is_never_waited_for(helm: str) -> None:
    kept = only(render(helm, "--set=persistence.enabled=true"), "Deployment")
    assert kept["spec"]["strategy"] == {"type": "Recreate"}
    shared = ("--set=persistence.enabled=true", "--set=persistence.accessModes={ReadWriteMany}")
    # It could be mounted twice, but its state file serves one process.
    assert only(render(helm, *shared), "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert only(render(helm), "Deployment")["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
    }


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("--set=replicaCount=2", "replicaCount: 2 pods cannot share the one state file"),
        ("--set=strategy.type=RollingUpdate", "Set strategy: {type: Recreate}"),
    ],
)
def test_one_state_file_has_one_pod(helm: str, more: str, why: str) -> None:
    words = (helm, "template", "demo", str(CHART))
    done = call(*words, "--set=persistence.enabled=true", more)
    assert done.returncode != 0
    assert why in done.stderr
    assert call(*words, "--set=persistence.enabled=true", "--set=replicaCount=0").returncode == 0
    assert call(*words, more).returncode == 0  # each with a state of its own


def test_everything_of_the_full_example_arrives(helm: str) -> None:
    documents = render(helm, f"--values={CHART}/ci/full-values.yaml")
    container = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"].startswith("registry.example/mirror/usage-exporter@sha256:")
    assert "--web.enable-lifecycle" in container["args"]
    assert container["ports"] == [{"name": "http", "containerPort": 9999, "protocol": "TCP"}]
    assert only(documents, "Service")["spec"]["ports"][0]["port"] == 80
    monitor = only(documents, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    endpoint = monitor["spec"]["endpoints"][0]
    assert (endpoint["port"], endpoint["path"], endpoint["interval"]) == ("http", "/m", "60s")
    assert monitor["spec"]["selector"] == {
        "matchLabels": only(documents, "Service")["spec"]["selector"]
    }
    ingress = only(documents, "NetworkPolicy")["spec"]["ingress"][0]
    assert ingress["ports"] == [{"port": "http", "protocol": "TCP"}]
    assert only(documents, "PersistentVolumeClaim")["spec"]["storageClassName"] == "fast"


def test_what_is_somebody_elses_is_named_and_not_made(helm: str) -> None:
    documents = render(helm, f"--values={CHART}/ci/existing-values.yaml")
    kinds = [document["kind"] for document in documents]
    assert sorted(kinds) == ["Deployment", "Pod", "Service"]
    spec = only(documents, "Deployment")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["config"]["configMap"]["name"] == "my-usage-config"
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == "my-claim"
    assert spec["serviceAccountName"] == "shared"
    assert "startupProbe" not in spec["containers"][0]


@pytest.mark.parametrize(
    "setting", ["replicaCont=2", "log.level=loud", "config.targets[0].name=x", "web.port=0"]
)
def test_values_that_make_no_sense_are_refused(helm: str, setting: str) -> None:
    done = call(helm, "template", "demo", str(CHART), f"--set={setting}")
    assert done.returncode != 0
    assert "schema" in done.stderr


@pytest.mark.parametrize("helm", ["helm4"], indirect=True)  # 3 shows no notes without a cluster
def test_the_notes_warn_where_something_is_missing(helm: str) -> None:
    def notes(*options: str) -> str:
        done = call(helm, "install", "demo", str(CHART), "--dry-run=client", *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("NOTES:")[2]

    bare = ("--set=config.targets[0].name=a", "--set=config.targets[0].provider=tpstreams")
    assert "there is no target yet" in notes()
    assert "no credentials reach the pod" in notes(*bare)
    assert "stands in a ConfigMap" in notes(*bare, "--set=config.targets[0].credentials.token=x")
    assert "polled 2 times" in notes("--set=replicaCount=2")
    good = notes(f"--values={CHART}/ci/minimal-values.yaml")
    assert "video-prod (tpstreams)" in good
    assert "WARNING" not in good


def test_the_chart_packs_without_its_examples(helm: str, tmp_path: Path) -> None:
    done = call(helm, "package", str(CHART), f"--destination={tmp_path}")
    assert done.returncode == 0, done.stderr
    archive = next(tmp_path.glob("*.tgz"))
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    names = {path.name for path in (tmp_path / "unpacked" / "usage-exporter").iterdir()}
    assert {"Chart.yaml", "values.yaml", "values.schema.json", "templates"} <= names
    assert "ci" not in names
