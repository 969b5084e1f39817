"""The others that are measured beside us, made ready on first use.

Debian's packages are installed by apt (they start no service of their own here: the programs are
run by hand, on loopback); query-exporter goes into a virtual environment below ``.cache``.
A peer that cannot be had is a reason to leave rows out, loudly, and never to fail.
"""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench import shape
from tests.bench.processes import Program, free_port, running

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "bench"

_GO_SOURCE = Path(__file__).with_name("client_golang.go")
_GO_PATH = Path("/usr/share/gocode")
_GO_PACKAGES = ("golang-go", "golang-github-prometheus-client-golang-dev")
_SLOWEST = 600.0  # seconds of a download and a build

_NGINX = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 64; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  default_type "text/plain; version=0.0.4; charset=utf-8";
  client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port};
    root {folder};
    location = /gzip {{ add_header Content-Encoding gzip; }}
  }}
}}
"""


class Missing(Exception):  # noqa: N818 - it is what the table says
    """A peer cannot be had here; the text says why."""


@contextlib.contextmanager
def nginx(plain: bytes, packed: bytes) -> Iterator[Program]:
    """Serve the same bytes from files: ``/plain``, and ``/gzip`` as it would be sent."""
    program = _program("nginx", "nginx-light")
    folder = _fresh("nginx")
    (folder / "plain").write_bytes(plain)
    (folder / "gzip").write_bytes(packed)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port))
    folder.chmod(0o755)
    with running([program, "-c", str(config), "-p", str(folder)], port) as server:
        yield server


@contextlib.contextmanager
def pushgateway(series: int) -> Iterator[Program]:
    """Serve `series` that were pushed, a group for each target."""
    program = _program("prometheus-pushgateway", "prometheus-pushgateway")
    port = free_port()
    with running([program, f"--web.listen-address=127.0.0.1:{port}"], port) as server:
        for number, samples in enumerate(shape.targets(series)):
            lines: dict[str, list[str]] = {}
            for sample in samples:
                pairs = zip(shape.LABELS, sample.labels, strict=True)
                labels = ",".join(f'{name}="{value}"' for name, value in pairs)
                line = f"{sample.family}{{{labels}}} {sample.value!r}\n"
                lines.setdefault(sample.family, []).append(line)
            body = "".join(
                f"# TYPE {family} gauge\n{''.join(found)}" for family, found in lines.items()
            )
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/metrics/job/bench-{number}",
                data=body.encode(),
                method="PUT",
            )
            urllib.request.urlopen(request, timeout=60.0).close()  # noqa: S310 - loopback
        yield server


@contextlib.contextmanager
def client_golang(series: int) -> Iterator[Program]:
    """Serve `series` of a Go program, in gauges as its author would write them."""
    program = _go_program()
    port = free_port()
    each = shape.per_target(series)
    command = [str(program), f"127.0.0.1:{port}", str(series // each), str(each // 10)]
    with running(command, port, environ={"GOMAXPROCS": "2"}) as server:
        yield server


@functools.cache
def query_exporter() -> Path:
    """Return the query-exporter of a virtual environment of its own."""
    home = CACHE / "query-exporter"
    program = home / "bin" / "query-exporter"
    if not program.exists():
        _called([sys.executable, "-m", "venv", "--clear", str(home)])
        _called([str(home / "bin" / "pip"), "install", "-q", "query-exporter"])
    return program


@functools.cache
def own_environment() -> Path:
    """Return the Python of a virtual environment that holds what the image holds, and no more."""
    home = CACHE / "usage-exporter"
    locks = [ROOT / "requirements.lock", ROOT / "requirements-build.lock"]
    wanted = b"".join(lock.read_bytes() for lock in locks)
    stamp, python, pip = home / "stamp", home / "bin" / "python", str(home / "bin" / "pip")
    if not stamp.exists() or stamp.read_bytes() != wanted:
        _called([sys.executable, "-m", "venv", "--clear", str(home)])
        given = [word for lock in locks for word in ("-r", str(lock))]
        _called([pip, "install", "-q", "--no-deps", "--require-hashes", *given])
        _called([pip, "check"])
        stamp.write_bytes(wanted)
    _called([pip, "install", "-q", "--no-deps", "--no-build-isolation", str(ROOT)])
    return python


def own_program() -> str:
    """Return the command that a user of that environment types."""
    return str(own_environment().with_name("usage-exporter"))


def own_environ() -> dict[str, str]:
    """Return the environment in which that Python finds the programs of this folder."""
    return {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}


@functools.cache
def _go_program() -> Path:
    go = _program("go", *_GO_PACKAGES)
    if not (_GO_PATH / "src/github.com/prometheus/client_golang").exists():
        _install(*_GO_PACKAGES)
    built = _fresh("go") / "client_golang"
    environ = {
        "GO111MODULE": "off",
        "GOPATH": str(_GO_PATH),
        "GOCACHE": str(CACHE / "go-build"),
        "GOFLAGS": "",
    }
    _called([go, "build", "-o", str(built), str(_GO_SOURCE)], environ)
    return built


def _program(name: str, *packages: str) -> str:
    found = _found(name)
    if found is None:
        _install(*packages)
        found = _found(name)
    if found is None:
        raise Missing(f"there is no {name} here (Debian: {' '.join(packages)})")
    return found


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _install(*packages: str) -> None:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise Missing(f"{' '.join(packages)}: only Debian's apt, as root, can install it")
    options = ["-q", "-y", "-o", "DPkg::Lock::Timeout=120", "--no-install-recommends"]
    environ = {"DEBIAN_FRONTEND": "noninteractive"}
    _called([apt, "-q", "update"], environ)
    _called([apt, *options, "install", *packages], environ)


def _fresh(name: str) -> Path:
    folder = CACHE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _called(command: Sequence[str], environ: dict[str, str] | None = None) -> None:
    try:
        subprocess.run(  # noqa: S603 - our own commands
            list(command),
            check=True,
            capture_output=True,
            timeout=_SLOWEST,
            env=os.environ | (environ or {}),
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise Missing(f"{Path(command[0]).name} {command[1]}: {' '.join(last) or error}") from error
