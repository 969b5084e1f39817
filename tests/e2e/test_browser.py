"""The status page in a real browser."""

import subprocess
from pathlib import Path

import pytest

from tests.support.processes import exporter, program

pytestmark = pytest.mark.timeout(120)


def browse(folder: Path, *words: str) -> str:
    done = subprocess.run(  # noqa: S603 - chromium
        [
            program("chromium"),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--window-size=1100,1400",
            f"--user-data-dir={folder / 'profile'}",
            *words,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_status_page_shows_every_target_and_needs_no_script(tmp_path: Path) -> None:
    shot = tmp_path / "status.png"
    with exporter(tmp_path, "demo") as demo:
        demo.first("video-prod", "saas-prod", "network")
        document = browse(tmp_path, "--dump-dom", demo.url)
        browse(tmp_path, f"--screenshot={shot}", demo.url)
    assert "<title>usage-exporter</title>" in document
    for words in ("video-prod", "saas-prod", "network", "bandwidth", "cloud_units", "%"):
        assert words in document
    assert "<script" not in document
    assert "http://" not in document.replace(demo.url, "").replace("http://www.w3.org", "")
    picture = shot.read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000  # an empty page has a tenth of it
