"""Reading the world: files, folders, secrets."""

import contextlib
import os
from pathlib import Path

import pytest

from exporter.config import files
from exporter.config.credentials import SecretReader, SecretUnavailable
from exporter.config.files import Unreadable
from exporter.kernel.secrets import Secret
from exporter.model.target import EnvSecret, FileSecret, LiteralSecret, SecretSource, Source


def secret(source: SecretSource, **environ: str) -> str:
    return SecretReader(environ).read(source).reveal()


def trouble(source: SecretSource, **environ: str) -> str:
    with pytest.raises(SecretUnavailable) as caught:
        SecretReader(environ).read(source)
    assert caught.value.detail == str(caught.value)
    return caught.value.detail


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"abc", "abc"),
        (b"abc\n", "abc"),
        (b"abc\r\n", "abc"),
        (b" abc ", "abc"),
        (b"\tabc \r\n\n", "abc"),
        (b"a b c", "a b c"),
        ("gehe\u00efm\n".encode(), "gehe\u00efm"),
        (b"\xef\xbb\xbfabc\n", "abc"),  # Notepad's mark
    ],
)
def test_a_secret_file_is_stripped_of_surrounding_blanks_and_newlines(
    tmp_path: Path, content: bytes, text: str
) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    assert secret(FileSecret(path=str(path))) == text


@pytest.mark.parametrize("content", [b"s3\ncr3t", b"s3cr3t\x00", b"s3\tcr3t", b"\x7f"])
def test_a_secret_is_one_line_of_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    what = trouble(FileSecret(path=str(path)))
    assert "control character" in what
    assert "s3" not in what.replace(str(path), "")


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b" \t\n\n"])
def test_an_empty_secret_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    assert trouble(FileSecret(path=str(path))).endswith("is empty. Write the secret there.")


def test_a_secret_that_changes_is_read_again(tmp_path: Path) -> None:
    """As Kubernetes does it: the file is a link, and the folder behind it is swapped."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(f"secret {version}\n")
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "token").symlink_to("..data/token")
    reader = SecretReader({})
    source = FileSecret(path=files.absolute("token", str(tmp_path)))
    assert reader.read(source).reveal() == "secret 1"
    (tmp_path / "..new").symlink_to("2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert reader.read(source).reveal() == "secret 2"


def test_a_secret_from_the_environment() -> None:
    assert secret(EnvSecret(variable="KEY"), KEY="abc") == "abc"
    assert secret(EnvSecret(variable="KEY"), KEY=" abc\n\n") == "abc"
    assert "is not set" in trouble(EnvSecret(variable="KEY"))
    assert "is empty" in trouble(EnvSecret(variable="KEY"), KEY="")


def test_a_secret_in_the_place_of_a_variables_name_is_not_shown() -> None:
    assert "abc123" not in trouble(EnvSecret(variable="abc123"))
    assert '"API_TOKEN"' in trouble(EnvSecret(variable="API_TOKEN"))


def test_a_literal_secret() -> None:
    assert secret(LiteralSecret(value=Secret("abc"))) == "abc"
    assert "is empty" in trouble(LiteralSecret(value=Secret("")))


def test_bytes_that_are_no_text_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"s3cr3t\xff")
    with pytest.raises(SecretUnavailable) as caught:
        SecretReader({}).read(FileSecret(path=str(path)))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "s3cr3t" not in str(caught.value)


def test_a_huge_secret_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"x" * 70_000)
    assert "it is larger than 65536 bytes" in trouble(FileSecret(path=str(path)))


@pytest.mark.parametrize("path", ["missing", "folder", "folder/missing/deep", "file/below"])
def test_what_cannot_be_read_is_said_in_words(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(Unreadable, match=r"(does not exist|is a folder)\. "):
        files.read_text(str(tmp_path / path))


def test_a_file_without_permission(tmp_path: Path) -> None:
    error = PermissionError(13, "Permission denied")
    assert files.reason(error) == "may not be read by this user. Change its permissions."
    assert files.reason(OSError(5, "Input/output error")) == "cannot be read: Input/output error."


def test_text_is_utf_8_with_or_without_its_mark(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfa: \xc3\xa4\n")
    assert files.read_text(str(tmp_path / "a")) == "a: ä\n"


def test_paths_are_seen_from_the_folder(tmp_path: Path) -> None:
    assert files.absolute("secrets/../x", "/etc/exporter") == "/etc/exporter/x"
    assert files.absolute("/abs", "/etc/exporter") == "/abs"
    assert files.directory_of("/etc/exporter/config.yaml") == "/etc/exporter"
    assert files.directory_of("config.yaml") == str(Path.cwd())
    assert files.shown("/etc/exporter/d/x.yaml", "/etc/exporter") == "d/x.yaml"
    assert files.shown("/other/x.yaml", "/etc/exporter") == "/other/x.yaml"


def test_a_pattern_gives_files_sorted_and_no_folders(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.yaml").mkdir()
    found = files.matching("*.yaml", str(tmp_path))
    assert [os.path.basename(path) for path in found] == ["a.yaml", "b.yaml"]  # noqa: PTH119 - texts
    assert files.is_pattern("*.yaml")
    assert not files.is_pattern("a.yaml")


def source_of(path: Path) -> Source:
    """Return a file as `noting` notes it."""
    with files.noting() as noted, contextlib.suppress(Unreadable):
        files.read_text(str(path))
    return noted[str(path)]


def changed(source: Source) -> bool:
    return files.look_again(source) != source


def test_a_file_has_changed_when_its_content_has(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1")
    source, found = source_of(path), path.stat()
    path.touch()
    assert not changed(source)
    path.write_text("a: 2")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))  # as `cp -p` and coarse clocks do
    assert changed(source)
    (tmp_path / "new").write_text("a: 1")
    (tmp_path / "new").replace(path)  # as editors write
    assert not changed(source)
    path.unlink()
    gone = source_of(path)
    assert changed(source)
    assert not changed(gone)
    path.write_text("a: 1")
    assert changed(gone)


def test_a_large_file_has_changed_when_its_times_have(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("#" * 2_000_000)
    source, found = source_of(path), path.stat()
    assert not changed(source)
    path.write_text("-" * 2_000_000)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert changed(source)


def test_a_pattern_has_changed_when_it_stands_for_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").touch()
    with files.noting() as noted:
        files.matching("*.yaml", str(tmp_path))
    (source,) = noted.values()
    assert not changed(source)
    (tmp_path / "b.yaml").touch()
    assert changed(source)
    (tmp_path / "a.yaml").unlink()
    assert changed(source)
    (tmp_path / "b.yaml").rename(tmp_path / "a.yaml")
    assert not changed(source)


def test_a_swapped_link_in_the_path_is_a_change(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "config.yaml").write_text(f"version: {version}")
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    source = source_of(tmp_path / "config.yaml")
    assert not changed(source)
    (tmp_path / "..new").symlink_to("2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert changed(source)


def test_a_path_that_no_system_takes_is_told_like_any_other(tmp_path: Path) -> None:
    assert "no such file" in trouble(FileSecret(path=f"{tmp_path}/a\0b"))
    assert "null byte" in (files.unreadable("a\0b") or "")
    with pytest.raises(Unreadable, match="null byte"):
        files.read_text("a\0b")


def test_a_pipe_is_no_secret_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")  # who opens it waits until somebody writes
    assert "is not a regular file" in trouble(FileSecret(path=str(tmp_path / "key")))
