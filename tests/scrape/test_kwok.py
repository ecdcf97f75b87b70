"""kwok's simulated nodes, with its own configuration `metrics-resource` and default usage."""

from __future__ import annotations

from decimal import Decimal

import pytest

from metricsapi.kube.resources import Capacity
from metricsapi.scrape.targets import PATH_ANNOTATION, target_of
from metricsapi.scrape.usage_check import missing_usage
from metricsapi.storage.limits import limits_of
from metricsapi.storage.store import MetricsStore
from tests.support.decoding import decode_resource_metrics
from tests.support.kubelet import Kubelet, Reader, http, is_sample, node

MIB = 2**20
PODS = {  # by node and pod: cores and bytes of each container
    "node-0": {"pod-0": {"app": (0.001, MIB)}, "pod-1": {"app": (0.25, 64 * MIB)}},
    "node-1": {"pod-2": {"app": (1.5, 2**30), "sidecar": (0.001, MIB)}, "pod-3": {}},
}


class Kwok:
    """Renders what `prometheus.Registry` and `promhttp` make of kwok's configuration.

    A counter begins at 0 when it is first asked for, and then grows by its use since. A start is
    the pod's age. Families and labels are sorted, floats are Go's, no sample has a timestamp, and
    promhttp adds a metric of its own.
    """

    def __init__(self):
        self.counted = {}

    def counter(self, key, cores, at):
        value, since = self.counted.get(key, (0.0, at))
        self.counted[key] = value + (at - since) * cores, at
        return self.counted[key][0]

    def exposition(self, name, at):
        families = {"scrape_error": ("gauge", ["scrape_error 0"])}

        def add(kind, metric, labels, value):
            text = ",".join(f'{label}="{labels[label]}"' for label in sorted(labels))
            line = f"{metric}{{{text}}} {go(value)}" if labels else f"{metric} {go(value)}"
            families.setdefault(metric, (kind, []))[1].append(line)

        for pod, containers in PODS[name].items():
            of_pod = {"namespace": "default", "pod": pod}
            for container, (cores, memory) in containers.items():
                labels = {**of_pod, "container": container}
                used = self.counter((pod, container), cores, at)
                add("gauge", "container_start_time_seconds", labels, at + 0.4567)
                add("counter", "container_cpu_usage_seconds_total", labels, used)
                add("gauge", "container_memory_working_set_bytes", labels, memory)
            used = sum(self.counter((pod, each), of[0], at) for each, of in containers.items())
            add("counter", "pod_cpu_usage_seconds_total", of_pod, used)
            add("gauge", "pod_memory_working_set_bytes", of_pod, total(containers, 1))
        containers = {(p, c): of for p, pod in PODS[name].items() for c, of in pod.items()}
        used = self.counter(name, total(containers, 0), at)
        add("counter", "node_cpu_usage_seconds_total", {}, used)
        add("gauge", "node_memory_working_set_bytes", {}, total(containers, 1))
        cause = {"cause": "encoding"}
        add("counter", "promhttp_metric_handler_errors_total", cause, 0)
        return "".join(
            f"# HELP {metric} [ALPHA] What it is\\n\n# TYPE {metric} {kind}\n"
            + "\n".join(lines)
            + "\n"
            for metric, (kind, lines) in sorted(families.items())
        ).encode()


def total(containers, which):
    return sum(of[which] for of in containers.values())


def go(value):
    """Write a float as Go does in expositions: with an exponent from a million on."""
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    assert not sign
    power = len(digits) + exponent - 1
    if value and not -4 <= power < 6:
        first, *rest = map(str, digits)
        return f"{first}{'.' if rest else ''}{''.join(rest)}e{power:+03d}"
    return f"{Decimal(repr(float(value))).normalize():f}"


def test_usage_of_every_pod_and_node_is_served():
    kwok, store = Kwok(), MetricsStore(max_age=60.0)
    for now in (100.0, 115.0, 130.0):
        for name in PODS:
            times = {"requested_at": now, "answered_at": now + 0.01, "wall_offset": 1.7e9}
            sample = decode_resource_metrics(name, kwok.exposition(name, now), **times)
            assert missing_usage(sample, limits_of(Capacity(), sample.stats, swap=False)) == ""
            store.put(sample)
    for name, pods in PODS.items():
        own = store.node_usage(name, now)
        containers = [of for pod in pods.values() for of in pod.values()]
        assert own.cpu == pytest.approx(1e9 * sum(cores for cores, _ in containers), rel=1e-3)
        assert own.memory == sum(memory for _, memory in containers)
        for pod, containers in pods.items():
            usage = store.pod_usage("default", pod, now)
            served = (
                {each.name: (each.cpu / 1e9, each.memory) for each in usage.containers}
                if usage
                else {}
            )
            assert served == {
                each: (pytest.approx(cores, rel=1e-3), memory)
                for each, (cores, memory) in containers.items()
            }
            assert usage is None or (usage.node, usage.window) == (name, pytest.approx(15.0))


@pytest.mark.parametrize("endpoint", ["auto", "summary", "resource"])
async def test_the_annotation_of_its_nodes_leads_to_it(endpoint):
    """All its nodes have one port, and nothing at the paths of a kubelet."""
    kwok = Kwok()

    def answer(request):
        for name in PODS:
            if request.path == f"/metrics/nodes/{name}/metrics/resource":
                return http(kwok.exposition(name, 100.0))
        return http(b"404: Page Not Found", 404)

    async with Kubelet(answer) as kubelet:
        for name, pods in PODS.items():
            annotations = {PATH_ANNOTATION: f"/metrics/nodes/{name}/metrics/resource"}
            async with Reader(kubelet, endpoint=endpoint) as read:
                read.target = target_of(node(name, annotations=annotations), read.settings)
                sample = await read()
            assert is_sample(sample), sample
            assert sample.unusable == ""
            assert {pod.pod_ref.name for pod in sample.pods} == {p for p in pods if pods[p]}
        assert len(kubelet.requests) == len(PODS)
