import os
from pathlib import Path

import pytest

from exporter.kernel.filestamp import FileBacked


class WatchedFile:
    """A file, what is made of it, and the clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.made = 0
        self.complaints: list[str] = []

    def make(self) -> tuple[str, list[str]]:
        self.made += 1
        text = self.path.read_text()
        if text == "bad":
            raise ValueError("it is bad")
        return text, [str(self.path)]

    def write(self, text: str) -> None:
        self.now += 1
        self.path.write_text(text)
        os.utime(self.path, ns=(0, int(self.now * 1e9)))

    def fresh(self) -> FileBacked[str]:
        return FileBacked(self.make, clock=lambda: self.now, complain=self.complaints.append)


@pytest.fixture
def watched(tmp_path: Path) -> WatchedFile:
    watched = WatchedFile(tmp_path / "file")
    watched.write("one")
    return watched


def test_a_value_is_made_once_while_nothing_changes(watched: WatchedFile) -> None:
    fresh = watched.fresh()
    for watched.now in range(2, 10):
        assert fresh.get() == "one"
    assert watched.made == 1


def test_a_change_is_seen_within_a_second(watched: WatchedFile) -> None:
    fresh = watched.fresh()
    watched.write("two")
    assert fresh.get() == "two"
    watched.path.write_text("three")
    assert fresh.get() == "two"
    watched.now += 1
    assert fresh.get() == "three"


def test_a_bad_change_leaves_the_old_value_and_is_told_once(watched: WatchedFile) -> None:
    fresh = watched.fresh()
    watched.write("bad")
    for _ in range(5):
        watched.now += 1
        assert fresh.get() == "one"
    assert watched.complaints == ["it is bad"]
    assert watched.made == 2
    watched.write("good")
    assert fresh.get() == "good"


def test_a_file_that_vanishes_for_a_moment_is_forgiven(watched: WatchedFile) -> None:
    fresh = watched.fresh()
    watched.path.unlink()
    watched.now += 1
    assert fresh.get() == "one"
    watched.write("two")
    assert fresh.get() == "two"
    assert len(watched.complaints) == 1


def test_a_swapped_folder_is_a_change(tmp_path: Path) -> None:
    # Kubernetes: file -> ..data/file, ..data -> a folder that is replaced by renaming a link.
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "file").symlink_to("..data/file")
    watched = WatchedFile(tmp_path / "file")
    fresh = watched.fresh()
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "..data")
    watched.now += 1
    assert fresh.get() == "two"


def test_a_bad_start_is_the_callers(watched: WatchedFile) -> None:
    watched.write("bad")
    with pytest.raises(ValueError, match="it is bad"):
        watched.fresh()
    assert watched.complaints == []


def test_other_files_may_be_needed_after_a_change(tmp_path: Path) -> None:
    now = 0.0
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("first")
    second.write_text("second")

    def make() -> tuple[str, list[str]]:
        named = tmp_path / first.read_text()
        return named.read_text(), [str(first), str(named)]

    fresh = FileBacked(make, clock=lambda: now, complain=pytest.fail)
    first.write_text("second")
    now = 1.0
    assert fresh.get() == "second"
    second.write_text("changed")
    now = 2.0
    assert fresh.get() == "changed"
