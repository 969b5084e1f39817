"""The container image: built from a clean base, run as a careful cluster would run it."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typing_extensions import override

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "image"
IMAGE = "localhost/usage-exporter:e2e"
BASE = "localhost/usage-exporter-base:python3.13"
TOKEN = "a-key-that-must-not-be-seen"  # noqa: S105 - made up, the test looks for it
PODMAN = ("podman", "--cgroup-manager=cgroupfs", "--runtime=runc")
CAREFUL = (
    "--network=host",
    "--no-healthcheck",  # wants systemd; the command of the check is run by hand
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=4096:4096",
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
# What the machine needs to reach a package index from inside a build, where it has such a thing.
TRUST = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pip.conf"))
# Debian's own Python 3.13, laid out as the official image has it: found at /usr/local/bin.
LAYOUT = (
    'for n in python python3; do ln -s /usr/bin/python3 "$1/usr/local/bin/$n"; done; '
    'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED'
)


def run(
    command: Sequence[str], *, check: bool = True, seconds: float = 240
) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        pytest.fail(f"{command[0]} is not installed. Run: bash .ci/install-e2e")
    done = subprocess.run(  # noqa: S603 - only programs named in this file
        command, check=False, capture_output=True, text=True, timeout=seconds
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)} said {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def podman(
    *arguments: str, check: bool = True, seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    return run((*PODMAN, *arguments), check=check, seconds=seconds)


def bootstrap(archive: Path) -> None:
    """Write a root file system with Python 3.13, from the suite after the machine's own."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    origin = Path("/etc/apt/sources.list.d/debian.sources")
    if not origin.exists():
        pytest.fail(f"{origin} is missing: the base of the image is made on Debian 12 or newer")
    sources = archive.with_name("trixie.sources")
    sources.write_text(origin.read_text().replace("bookworm", "trixie"))
    part = archive.with_name("part.tar")
    packages = "ca-certificates,netbase,tzdata,python3,python3-venv"
    options = ("--quiet", "--variant=minbase", f"--include={packages}")
    run(("mmdebstrap", *options, f"--customize-hook={LAYOUT}", "trixie", str(part), str(sources)))
    part.rename(archive)


@pytest.fixture(scope="module")
def base() -> str:
    """The name of the base image; made once, or the real one where E2E_BASE_IMAGE names it."""
    if given := os.environ.get("E2E_BASE_IMAGE"):
        return given
    if run(("buildah", "images", "--quiet", BASE), check=False).stdout.strip():
        return BASE
    archive = CACHE / "base.tar"
    if not archive.exists():
        bootstrap(archive)
    container = run(("buildah", "from", "scratch")).stdout.strip()
    run(("buildah", "add", "--quiet", container, str(archive), "/"))
    path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    run(("buildah", "config", "--env", path, "--env", "LANG=C.UTF-8", container))
    run(("buildah", "commit", "--quiet", "--rm", container, BASE))
    return BASE


@pytest.fixture(scope="module")
def image(base: str) -> str:
    """The name of the image, built from this tree."""
    mounts = [word for path in TRUST if path.exists() for word in ("-v", f"{path}:{path}:ro")]
    values = {"BASE": base, "VERSION": "9.8.7", "REVISION": "abc123"}
    arguments = [w for k, v in values.items() for w in ("--build-arg", f"{k}={v}")]
    how = ("--isolation=chroot", "--format=docker", "--pull-never")
    run(("buildah", "bud", *how, *mounts, *arguments, "--tag", IMAGE, str(ROOT)))
    return IMAGE


@contextmanager
def started(image: str, *command: str, options: Sequence[str] = ()) -> Iterator[str]:
    """A running container; whatever happens, it is gone afterwards."""
    name = podman("run", "--detach", *CAREFUL, *options, image, *command).stdout.strip()
    try:
        yield name
    finally:
        podman("rm", "--force", "--time=1", name, check=False)


def logs(name: str) -> str:
    done = podman("logs", name, check=False)
    return done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            body: bytes = answer.read()
            return body.decode()
    except (urllib.error.URLError, OSError) as error:
        return f"no answer yet: {error}"


def is_running(name: str) -> bool:
    state = podman("inspect", "--format={{.State.Running}}", name, check=False)
    return state.stdout.strip() == "true"


def wait_for(url: str, wanted: str, *, name: str, seconds: float = 40) -> str:
    deadline = time.monotonic() + seconds
    while wanted not in (body := get(url)):
        if time.monotonic() > deadline or not is_running(name):
            pytest.fail(f"{wanted!r} never came from {url}.\nLast: {body}\nLog:\n{logs(name)}")
        time.sleep(0.2)
    return body


def usage_answer() -> bytes:
    """An answer of the billing_usage API, in a period that is running now."""
    today = datetime.now(tz=UTC).replace(microsecond=0)  # noqa: TID251 - the container has a real clock
    period = {
        "start": (today - timedelta(days=10)).isoformat(),
        "end": (today + timedelta(days=20)).isoformat(),
    }
    calls = {"name": "API Calls", "unit": "requests", "included": 1000, "used": 250, "overage": 0}
    cost = {"base": 79.0, "overage": 0, "total": 79.0, "currency": "usd"}
    data = {"period": period, "metrics": {"apiCalls": calls}, "estimatedCost": cost}
    return json.dumps({"success": True, "data": data}).encode()


class Vendor(BaseHTTPRequestHandler):
    """Answers every request like a usage API that knows one key."""

    def do_GET(self) -> None:
        good = self.headers["Authorization"] == f"Bearer {TOKEN}"
        body = usage_answer() if good else b"{}"
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def vendor() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folders(tmp_path: Path, vendor: str) -> tuple[str, ...]:
    """Mount options for a config with one target and a state folder, as anybody may read them."""
    config, state = tmp_path / "config", tmp_path / "state"
    (config / "secrets").mkdir(parents=True)
    state.mkdir()
    (config / "secrets" / "billing").write_text(f"{TOKEN}\n")
    target = {
        "name": "saas",
        "provider": "billing_usage",
        "base_url": vendor,
        "credentials": {"token_file": "secrets/billing"},
    }
    document = {"state": {"file": "/var/lib/usage-exporter/state.db"}, "targets": [target]}
    (config / "config.yaml").write_text(json.dumps(document))  # JSON is YAML
    state.chmod(0o777)
    return ("-v", f"{config}:/etc/usage-exporter:ro", "-v", f"{state}:/var/lib/usage-exporter")


def test_the_image_says_who_it_is_and_how_it_runs(image: str) -> None:
    config = json.loads(run(("buildah", "inspect", "--type=image", image)).stdout)["Docker"][
        "config"
    ]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["usage-exporter"]
    assert config["Cmd"] == ["run", "--config.file=/etc/usage-exporter/config.yaml"]
    assert list(config["ExposedPorts"]) == ["10187/tcp"]
    assert config["Healthcheck"]["Test"] == ["CMD", "usage-exporter", "healthcheck"]
    assert not config.get("Volumes")
    assert "PYTHONUNBUFFERED=1" in config["Env"]
    labels = {k.removeprefix("org.opencontainers.image."): v for k, v in config["Labels"].items()}
    assert labels["version"] == "9.8.7"
    assert labels["revision"] == "abc123"
    assert labels["licenses"] == "Apache-2.0"


def test_the_demo_runs_on_a_read_only_root_without_capabilities(image: str) -> None:
    port = free_port()
    with started(image, "demo", f"--web.listen-address=127.0.0.1:{port}") as name:
        body = wait_for(f"http://127.0.0.1:{port}/metrics", "\nusage_percent{", name=name)
    assert "usage_exporter_build_info{" in body


def test_run_reads_its_folders_polls_and_ends_cleanly(
    image: str, folders: tuple[str, ...], tmp_path: Path
) -> None:
    port = free_port()
    flags = (
        "--config.file=/etc/usage-exporter/config.yaml",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with started(image, "run", *flags, options=folders) as name:
        wanted = 'usage_requests{provider="billing_usage",account="saas",resource="api_calls"} 250'
        wait_for(f"http://127.0.0.1:{port}/metrics", wanted, name=name)
        assert podman("exec", name, "id", "-u").stdout.strip() == "65532"
        podman("stop", "--time=10", name)
        exit_code = podman("inspect", "--format={{.State.ExitCode}}", name).stdout.strip()
        said = logs(name)
    assert exit_code == "0", said
    assert (tmp_path / "state" / "state.db").stat().st_size > 0
    assert TOKEN not in said


def test_any_user_may_run_it_and_ask_how_it_is(image: str, folders: tuple[str, ...]) -> None:
    port = free_port()
    listen = f"--web.listen-address=127.0.0.1:{port}"
    config = "--config.file=/etc/usage-exporter/config.yaml"
    with started(image, "run", config, listen, options=("--user=123456:0", *folders)) as name:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/metrics", 'usage_up{provider="billing_usage"', name=name)
        podman("exec", name, "usage-exporter", "healthcheck", f"--url={url}/-/healthy")
        wrong = podman(
            "exec", name, "usage-exporter", "healthcheck", f"--url={url}/-/x", check=False
        )
        assert wrong.returncode == 1
        assert podman("exec", name, "id", "-u").stdout.strip() == "123456"


def test_without_a_config_it_says_which_file_it_wanted(image: str) -> None:
    done = podman("run", "--rm", *CAREFUL, image, check=False)
    assert done.returncode == 1
    assert "/etc/usage-exporter/config.yaml" in done.stdout + done.stderr


def test_nothing_in_the_image_installs_packages(image: str) -> None:
    probe = (
        "import importlib.util as u; print([m for m in ('pip', 'setuptools') if u.find_spec(m)])"
    )
    done = podman("run", "--rm", *CAREFUL, "--entrypoint=python3", image, "-c", probe)
    assert done.stdout.strip() == "[]"


def test_the_code_is_compiled_and_the_quick_parts_are_there(image: str) -> None:
    probe = "import exporter, isal, os, uvloop; print(os.path.exists(exporter.__cached__))"
    done = podman("run", "--rm", *CAREFUL, "--entrypoint=python3", image, "-c", probe)
    assert done.stdout.strip() == "True"
