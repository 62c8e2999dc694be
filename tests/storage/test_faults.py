"""A storage that fails now and then, one that is gone, and one that says no: on each storage."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from helpers import clouds, faulty_proxy
from helpers.boxes import BOXES, Box
from helpers.faulty_proxy import DENIED, KINDS, FaultyProxy, running

from mfx.errors import MfxError
from mfx.storage import address, az, gs, open_storage, retries, s3, web
from mfx.storage.answers import DeniedError, NotThereError
from mfx.storage.retries import StorageGoneError

CONTENT = os.urandom(400_000)


@contextmanager
def between(box: Box, proxy: FaultyProxy) -> Iterator[Box]:
    """The box behind a proxy, for all storages opened from now on."""
    with pytest.MonkeyPatch.context() as patch, running(proxy) as url:
        place = box.place
        if place.scheme == "s3":
            patch.setenv("AWS_ENDPOINT_URL", url)
        elif place.scheme == "gs":
            patch.setenv("STORAGE_EMULATOR_HOST", url)
        elif place.scheme == "az":
            account = clouds.azure_url(os.environ).rpartition("/")[2]
            for name, value in clouds.azure_settings(f"{url}/{account}").items():
                patch.setenv(name, value)
        else:
            place = address.parse(url)
        yield Box(place, box.put)


def target_of(box: Box) -> str:
    """`host:port` of a box's server."""
    urls = {
        "s3": lambda: os.environ["AWS_ENDPOINT_URL"],
        "gs": lambda: os.environ["STORAGE_EMULATOR_HOST"],
        "az": lambda: clouds.azure_url(os.environ),
        "http": lambda: str(box.place),
    }
    return urls[box.place.scheme]().removeprefix("http://").split("/")[0]


@pytest.fixture(params=[name for name in BOXES if name != "folder"])
def remote(request) -> Box:
    """An empty bucket on each storage that may fail."""
    return BOXES[request.param](request)


@pytest.fixture(params=["s3", "gs", "az"])
def bucket(request) -> Box:
    """An empty bucket on each storage that may fail and can be written."""
    return BOXES[request.param](request)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Little time before a storage counts as silent, and as gone."""
    for module in (s3, gs, az, web):
        monkeypatch.setattr(module, "READ_SECONDS", 0.5)
    monkeypatch.setattr(gs, "_ONCE", {"retry": None, "timeout": (5, 0.5)})
    monkeypatch.setattr(faulty_proxy, "SLOW_SECONDS", 2.0)
    monkeypatch.setenv(retries.PATIENCE, "1")


def everything(box: Box) -> dict[str, Callable]:
    """What is done with a storage, each a call; on the web only reading."""
    reading = {
        "head": lambda s: s.head("day/a"),
        "read": lambda s: s.read("day/a"),
        "sha256": lambda s: s.sha256("day/a"),
    }
    if box.place.scheme == "http":
        return reading
    return reading | {
        "list": lambda s: s.list("day/"),
        "write": lambda s: s.write("day/b", CONTENT),
        "create": lambda s: s.write_if_absent(f"log/{time.time_ns()}", b"{}"),
        "copy": lambda s: s.copy("day/a", "day/c"),
        "delete": lambda s: s.delete("day/b"),
    }


def test_what_fails_now_and_then_gets_through(remote, tmp_path, monkeypatch):
    monkeypatch.setenv(retries.PATIENCE, "60")
    remote.put("day/a", CONTENT)
    proxy = FaultyProxy(target_of(remote), 0.3)
    with between(remote, proxy) as box:
        storage = box.open()
        for number in range(3):
            for name, call in everything(box).items():
                found = call(storage)
                assert found if name in ("head", "create") else True
                assert name != "read" or found == CONTENT
            path = tmp_path / str(number)
            assert storage.fetch("day/a", path) and path.read_bytes() == CONTENT
            storage.fetch_ranges("day/a", path, len(CONTENT), [(0, 5), (7, len(CONTENT))])
            assert path.read_bytes() == CONTENT[:5] + b"\0\0" + CONTENT[7:]
    assert sum(proxy.counts[kind] for kind in KINDS) > 2, proxy.counts


@pytest.mark.parametrize("kind", ["503", "slow", "cut before"])
def test_a_storage_that_is_gone_is_one_error_in_the_stated_time(remote, kind):
    remote.put("day/a", CONTENT)
    with between(remote, FaultyProxy(target_of(remote), 0, [kind])) as box:
        calls, storage = everything(box), box.open()
    with between(remote, FaultyProxy(target_of(remote), 1.0, [kind])) as box:
        storage = box.open()
        for name in ("read", "create") if "create" in calls else ("read", "head"):
            begin = time.monotonic()
            with pytest.raises(StorageGoneError, match="does not answer, tried for 1 s") as caught:
                calls[name](storage)
            assert time.monotonic() - begin < 12
            assert str(caught.value).startswith(f"{box.place}/") and "\n" not in caught.value.what
            assert retries.PATIENCE in caught.value.remedy


def test_a_storage_where_nobody_listens_is_neither_empty_nor_without_the_object(
    remote, monkeypatch
):
    monkeypatch.setenv(retries.PATIENCE, "0.2")
    with between(remote, FaultyProxy(target_of(remote), 0)) as box:
        storage = box.open()
    for call in everything(box).values():
        with pytest.raises(StorageGoneError):
            call(storage)


def test_denied_access_is_one_error_at_once(remote):
    remote.put("day/a", CONTENT)
    proxy = FaultyProxy(target_of(remote), 1.0, [DENIED])
    with between(remote, proxy) as box:
        calls, storage = everything(box), box.open()
        for call in calls.values():
            with pytest.raises(DeniedError, match=f"^{box.place}/.*: access denied: ") as caught:
                call(storage)
            assert caught.value.remedy and "\n" not in caught.value.what
    assert proxy.counts[DENIED] <= 2 * len(calls), "trying again does not help"


class First(FaultyProxy):
    """Fails the first request and no other."""

    def fault(self) -> str:
        self.counts["all"] += 1
        return self.kinds[0] if self.counts["all"] == 1 else ""


def test_an_answer_that_was_lost_is_not_anothers_write(bucket):
    """The object is there, the storage says so to the second try, and it is ours."""
    with between(bucket, First(target_of(bucket), 0, ["cut after"])) as box:
        assert box.open().write_if_absent("log/1", b"{}")
    assert not bucket.open().write_if_absent("log/1", b"{}")
    tag = bucket.open().head("log/1").tag
    with between(bucket, First(target_of(bucket), 0, ["cut after"])) as box:
        assert box.open().write_if_unchanged("log/1", b"2", tag)
        assert not box.open().write_if_unchanged("log/1", b"3", tag)


def test_what_came_before_a_break_is_kept(remote, tmp_path, monkeypatch):
    """Half of each answer comes: with each try half of what is left, until all is there."""
    monkeypatch.setenv(retries.PATIENCE, "60")
    remote.put("a", CONTENT)
    for module in (s3, az, web):
        monkeypatch.setattr(module, "BLOCK", 10_000)
    proxy = FaultyProxy(target_of(remote), 0, ["cut after"])
    opened: list[int] = []
    with between(remote, proxy) as box:
        storage = box.open()
        begin = storage._open

        def counted(key, first, tag):
            opened.append(first)
            proxy.share = 0.0 if len(opened) > 3 or remote.place.scheme == "gs" else 1.0
            return begin(key, first, tag)

        monkeypatch.setattr(storage, "_open", counted)
        storage_fetch = super(type(storage), storage).fetch  # S3's own leaves parts to boto
        assert storage_fetch("a", tmp_path / "a") and (tmp_path / "a").read_bytes() == CONTENT
    assert opened == sorted(opened) and (len(opened) > 3 or remote.place.scheme == "gs")
    if remote.place.scheme in ("s3", "http"):
        assert opened[-1] > len(CONTENT) // 2, opened


def test_what_changes_while_it_is_read_is_not_put_together(remote, tmp_path, monkeypatch):
    remote.put("a", CONTENT)
    storage = remote.open()
    begin, opened = storage._open, []

    @contextmanager
    def broken(key, first, tag):
        opened.append(first)
        if first:
            remote.put("a", CONTENT[:-1] + b"!")
        with begin(key, first, tag) as found:
            if first:
                yield found
                return

            def half():
                yield next(found.blocks)[:1000]
                raise ConnectionResetError

            yield type(found)(found.entry, 0, half())

    monkeypatch.setattr(storage, "_open", broken)
    fetch = super(type(storage), storage).fetch
    with pytest.raises(MfxError, match=f"^{remote.place}/a: changed while it was read"):
        fetch("a", tmp_path / "a")
    assert opened == [0, 1000] and list(tmp_path.glob("a*")) == []


def test_patience_begins_anew_with_what_has_come(monkeypatch):
    monkeypatch.setenv(retries.PATIENCE, "0.2")
    came = [0]

    def call():
        came[0] += 1
        time.sleep(0.15)
        if came[0] < 5:
            raise ConnectionError
        return "all"

    passes = lambda error: isinstance(error, ConnectionError)  # noqa: E731
    assert retries.with_retries(call, passes, lambda: came[0]) == "all"
    came[0] = 0
    with pytest.raises(ConnectionError):
        retries.with_retries(call, passes)


@pytest.mark.parametrize(
    ("scheme", "package"), [("gs", "google.cloud.storage"), ("az", "obstore.store")]
)
def test_a_package_that_is_not_installed_is_named(scheme, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MfxError, match=f"^{scheme}://bucket: the package .* is not installed") as e:
        open_storage(address.parse(f"{scheme}://bucket/a"))
    assert "mfx[cloud]" in e.value.remedy


def test_google_without_credentials(monkeypatch, tmp_path):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(MfxError, match=r"^gs://bucket: cannot open: .*credentials") as caught:
        open_storage(address.parse("gs://bucket"))
    assert "gcloud auth application-default login" in caught.value.remedy
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    with pytest.raises(MfxError, match=r"^gs://bucket: cannot open: .*gone\.json"):
        open_storage(address.parse("gs://bucket"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "cannot open: .*Account must be specified"),
        ({"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "%"}, "cannot open: .*Access Key"),
        ({az.CONNECTION: "hello"}, f"{az.CONNECTION}: expected AccountName="),
    ],
)
def test_azure_without_an_account(given, said, monkeypatch):
    monkeypatch.delenv(az.CONNECTION, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MfxError, match=said) as caught:
        open_storage(address.parse("az://container"))
    assert "\n" not in caught.value.what


def test_a_fork_of_a_process_that_used_azure_is_told_so(az):
    """Its requests would wait for threads that are in the other process."""
    place = address.parse(f"az://{az}")
    open_storage(place).list()
    if (child := os.fork()) == 0:
        code = 1
        try:
            open_storage(place)
        except MfxError as error:
            code = 7 if "before this process was forked" in error.what else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_opening_google_says_nothing(gs):
    code = f"from mfx.storage import *; open_storage(Address('gs', '{gs}')).list()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_wrong_key_is_denied(az, azure, monkeypatch):
    url = clouds.azure_url(azure)
    for name, value in clouds.azure_settings(url, key="d3Jvbmc=").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DeniedError, match=r"cannot list: access denied: AuthorizationFailure: "):
        open_storage(address.parse(f"az://{az}")).list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=eA==;EndpointSuffix=b.cn",
            {"account_name": "a", "account_key": "eA==", "endpoint": "https://a.blob.b.cn"},
        ),
        ("UseDevelopmentStorage=true;", {"use_emulator": True}),
        (
            "BlobEndpoint=https://a.blob.x.net/;SharedAccessSignature=sv=1&sig=a%3D",
            {"endpoint": "https://a.blob.x.net/", "sas_key": "sv=1&sig=a%3D"},
        ),
    ],
)
def test_a_connection_string_is_read(text, expected, monkeypatch):
    monkeypatch.setenv(az.CONNECTION, text)
    assert az.settings() == expected


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotThereError), (410, NotThereError), (401, DeniedError), (400, MfxError)],
)
def test_what_a_web_server_answers(status, error, webhook):
    webhook.status = status
    with pytest.raises(MfxError, match=r"hush|a\.csv: cannot read: .*") as caught:
        open_storage(address.parse(webhook.url)).read("a.csv")
    assert type(caught.value) is error
