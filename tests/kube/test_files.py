"""Files that somebody else replaces, and what is logged of those that cannot be used."""

import asyncio
import logging
import os
from pathlib import Path

import pytest

from metricsapi.kube.files import LARGEST, FileError, FilesInUse, FollowedFiles, read_file
from tests.support.conditions import until


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def number(contents):
    return [int(content) for content in contents]


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "number"
    file.write_text("1")
    return file


def test_a_file_is_read_again_after_its_period_and_not_before(path):
    clock = Clock()
    files = FollowedFiles([path], number, period=5.0, clock=clock)
    path.write_text("2")
    clock.now = 4.9
    assert files.current() == [1]
    clock.now = 5.0
    assert files.current() == [2]


def test_an_expired_file_is_read_at_once(path):
    files = FollowedFiles([path], number)
    path.write_text("2")
    files.expire()
    assert files.current() == [2]


@pytest.mark.parametrize("content", ["", "x", None])
def test_what_cannot_be_used_leaves_the_last_value_and_is_logged_once(path, content, caplog):
    files = FollowedFiles([path], number)
    path.unlink() if content is None else path.write_text(content)
    assert files.reload() is False
    assert not caplog.records, "who rotates two files replaces one after the other"
    for _ in range(3):
        files.reload()
    assert files.value == [1]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.data["files"] == [str(path)]
    path.write_text("2")
    assert files.reload() is True
    assert files.value == [2]


def test_a_symbolic_link_that_changes_its_target_is_followed(tmp_path):
    """As kubelets update Secrets and ConfigMaps."""
    for version, content in enumerate("12"):
        (tmp_path / f"v{version}").mkdir()
        (tmp_path / f"v{version}" / "file").write_text(content)
    data = tmp_path / "..data"
    data.symlink_to("v0")
    files = FollowedFiles([data / "file"], number)
    (tmp_path / "new").symlink_to("v1")
    (tmp_path / "new").replace(data)
    assert files.reload() is True
    assert files.value == [2]


def test_the_same_content_is_no_change(path):
    files = FollowedFiles([path], number)
    path.write_text("1")
    assert files.reload() is False
    path.write_text("01")
    assert files.reload() is False, "another text, the same value"


async def test_changes_are_passed_on_until_cancelled(path, caplog):
    files = FollowedFiles([path], number, period=0.001)
    seen = []

    def changed(value):
        if value == [13]:
            raise ValueError("unlucky")
        seen.append(value)

    task = asyncio.create_task(files.follow(changed))
    for content, expected in (("2", [[2]]), ("13", [[2]]), ("3", [[2], [3]])):
        path.write_text(content)
        await until(lambda: files.value == [int(content)])  # noqa: B023
        await until(lambda: seen == expected)  # noqa: B023
    task.cancel()
    assert [record.data["error"] for record in caplog.records] == ["unlucky"]


def test_the_error_of_a_file_says_what_is_wrong(tmp_path):
    for path, message in (
        (tmp_path / "gone", "no such file"),
        (tmp_path, "is a folder, not a file"),
        (tmp_path / "a\0b", "cannot read"),
        (tmp_path / "x" / "y", "no such file"),
    ):
        with pytest.raises(FileError, match=message):
            read_file(path)


def test_what_has_no_end_or_is_too_large_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(FileError, match=f"{name} is a pipe or a device"):
            read_file(tmp_path / name)
    with (tmp_path / "large").open("wb") as large:
        large.truncate(LARGEST + 1)
    with pytest.raises(FileError, match="larger than 16 MiB"):
        read_file(tmp_path / "large")


async def test_files_that_cannot_be_used_are_failing_until_they_can(path):
    now, refused = [100.0], []

    def changed(value):
        if value in refused:
            raise ValueError("no use for it")

    files = FollowedFiles([path], number, period=0.005, clock=lambda: now[0])
    task = asyncio.create_task(files.follow(changed))
    assert files.failing() is None
    path.write_text("x")
    await until(files.failing)
    now[0] = 130.0
    assert files.failing()[0] == 100.0
    path.write_text("1")  # as it was
    await until(lambda: files.failing() is None)
    refused.append([3])
    path.write_text("3")
    await until(files.failing)
    await asyncio.sleep(0.02)
    assert files.failing() == (130.0, "no use for it")
    path.write_text("4")
    await until(lambda: files.failing() is None)
    task.cancel()
    await asyncio.wait([task])


async def test_files_in_use_are_read_again_while_nothing_uses_them(tmp_path, monkeypatch):
    monkeypatch.setattr("metricsapi.kube.files.PERIOD", 0.002)
    paths = [tmp_path / "1", tmp_path / "2"]
    for path in paths:
        path.write_text("1")
    followed = [FollowedFiles([path], number, period=0.001) for path in paths]
    files = FilesInUse([*followed, followed[0]])
    task = asyncio.create_task(files.run())
    assert files.failing() is None
    for path in paths:
        path.write_text("x")
    await until(lambda: files.failing() and files.failing()[1].count(";") == 1)
    for path in paths:
        path.write_text("2")
    await until(lambda: files.failing() is None)
    assert [each.value for each in followed] == [[2], [2]]
    task.cancel()
    await asyncio.wait([task])


def test_a_file_that_several_follow_is_named_once(path):
    """The same failure three times had cut off those of other files."""
    clock = Clock()
    followed = [FollowedFiles([path], number, clock=clock) for _ in range(3)]
    path.write_text("x")
    for clock.now in (10.0, 20.0):
        for each in followed:
            each.reload()
    since, error = FilesInUse(followed).failing()
    assert (since, error.count("invalid literal")) == (20.0, 1)


def test_a_file_that_becomes_a_pipe_while_it_is_looked_at_is_not_waited_for(path, monkeypatch):
    look = Path.stat

    def swap(self, **options):
        seen = look(self, **options)
        if self == path:
            path.unlink()
            os.mkfifo(path)
        return seen

    monkeypatch.setattr(Path, "stat", swap)
    with pytest.raises(FileError, match="is a pipe or a device"):
        read_file(path)


def test_a_link_that_leads_to_itself_is_named(tmp_path):
    path = tmp_path / "loop"
    path.symlink_to(path)
    with pytest.raises(FileError, match=f"cannot read {path}: Too many levels"):
        read_file(path)
