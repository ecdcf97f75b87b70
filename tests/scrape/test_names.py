"""A name whose look-up takes long delays no other node."""

import asyncio
import errno
import socket
import threading
import time

import pytest

from metricsapi.scrape.errors import Cause
from metricsapi.scrape.names import MOST_ADDRESSES, Names
from metricsapi.scrape.targets import Target
from tests.support.conditions import until
from tests.support.kubelet import Kubelet, Reader, is_sample

REAL = socket.getaddrinfo


class Resolver:
    """Stands for that of the C library: names that begin with `lost` have no DNS server."""

    def __init__(self):
        self.asked = []
        self.release = threading.Event()

    def __call__(self, host, *args, **options):
        self.asked.append(host)
        if str(host).startswith("lost"):
            self.release.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no server responds")
        if host == "many.example":
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.66.{i // 250}.{i % 250}", 0))
                for i in range(10_000)
            ]
        if host == "servfail.example":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host == "node.example":
            port = args[0] if args else options.get("port")
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))
                for ip in ("127.77.77.77", "127.0.0.1", "127.0.0.1")
            ]
        return REAL(host, *args, **options)


@pytest.fixture
def resolver(monkeypatch):
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.release.set()


def reading(kubelet):
    """Give a client, and what scrapes a node of these hosts with it."""
    reader = Reader(kubelet, insecure_tls=True)

    def scrape(node, *hosts, seconds=30.0):
        target = Target(node, hosts, kubelet.port)
        return reader.client.scrape(target, time.monotonic() + seconds)

    return reader, scrape


async def test_names_that_hang_delay_no_other_node(resolver):
    async with Kubelet() as kubelet:
        reader, scrape = reading(kubelet)
        lost = [asyncio.create_task(scrape(f"lost-{i}", f"lost-{i}")) for i in range(50)]
        await until(lambda: sum(str(name).startswith("lost") for name in resolver.asked) == 50)
        assert is_sample(await scrape("n1", "node.example"))
        assert not any(task.done() for task in lost)
        resolver.release.set()
        failures = await asyncio.gather(*lost)
        assert {failure.cause for failure in failures} == {Cause.NAME_NOT_FOUND}
        reader.client.close()


async def test_a_name_that_is_not_looked_up_in_time_is_named(resolver):
    async with Kubelet() as kubelet:
        reader, scrape = reading(kubelet)
        failure = await scrape("n2", "lost.example", seconds=0.1)
        assert is_sample(await scrape("n1", "lost.example", "127.0.0.1", seconds=2.0))
        reader.client.close()
        assert failure.cause is Cause.TIMEOUT
        assert "'lost.example' could not be looked up in time" in failure.message
    assert resolver.asked.count("lost.example") == 1  # one thread, however often it is needed


async def test_addresses_are_not_looked_up(resolver):
    names = Names()
    for address in ("127.0.0.1", "::1", "fe80::1%lo"):
        assert await names.addresses(address) == [address]
    assert not resolver.asked


@pytest.mark.parametrize("address", ["fe80::1%nosuch", "::1%\x1b"])
async def test_an_address_in_an_unknown_zone_fails_at_once(address):
    async with Kubelet() as kubelet:
        reader, scrape = reading(kubelet)
        failure = await scrape("n2", address, seconds=3600.0)
        assert is_sample(await scrape("n1", address, "127.0.0.1"))
        reader.client.close()
    assert failure.cause is Cause.UNREACHABLE
    assert "this machine has no network interface named" in failure.message


async def test_a_name_may_have_many_addresses(resolver):
    assert await Names().addresses("node.example") == ["127.77.77.77", "127.0.0.1"]


async def test_of_ten_thousand_addresses_of_a_name_the_first_are_tried(resolver):
    addresses = await Names().addresses("many.example")
    assert addresses == [f"127.66.0.{i}" for i in range(MOST_ADDRESSES)]


async def test_a_name_server_that_fails_is_not_reported_as_a_name_that_does_not_exist(resolver):
    async with Kubelet() as kubelet:
        reader, scrape = reading(kubelet)
        failure = await scrape("n1", "servfail.example")
        reader.client.close()
    assert failure.cause is Cause.NAME_NOT_FOUND
    assert "Temporary failure in name resolution" in failure.message
    assert "not found" not in failure.message


async def test_where_no_more_threads_may_be_the_name_is_named_and_can_be_tried_again(
    resolver, monkeypatch
):
    def start(_):
        raise RuntimeError("can't start new thread")

    async with Kubelet() as kubelet:
        reader, scrape = reading(kubelet)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            failure = await scrape("n1", "node.example")
        assert failure.cause is Cause.UNREACHABLE
        assert "node.example" in failure.message
        assert "can't start new thread" in failure.message
        assert is_sample(await scrape("n1", "node.example"))
        reader.client.close()


async def test_look_ups_are_bounded(resolver):
    names = Names(most=2)
    lost = [asyncio.create_task(names.addresses(f"lost-{i}")) for i in range(2)]
    await until(lambda: len(resolver.asked) == 2)
    with pytest.raises(OSError, match="2 other names are being looked up") as caught:
        await names.addresses("node.example")
    assert caught.value.errno == errno.EAGAIN
    resolver.release.set()
    await asyncio.wait(lost)
    assert all(isinstance(task.exception(), socket.gaierror) for task in lost)
    assert await names.addresses("node.example")


async def test_a_name_of_64_kib_makes_no_message_of_64_kib(resolver):
    async with Kubelet() as kubelet:
        reader, scrape = reading(kubelet)
        failure = await scrape("n1", "y" * 65536)
        reader.client.close()
    assert failure.cause is Cause.NAME_NOT_FOUND
    assert len(failure.message) <= 1000


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example", "a\0b"])
async def test_what_is_no_name_is_an_error_of_its_own(name):
    with pytest.raises((OSError, ValueError)):
        await Names().addresses(name)
