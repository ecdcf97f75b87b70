"""`make accuracy`: what is served for a recorded series, against what was true.

The truth is the same series' `/metrics/resource`, which has milliseconds; for a container that the
kernel caps, it is the cap. Usage: python -m tests.storage.accuracy [FILE] [--capped burn=0.15]
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from metricsapi.storage.store import MetricsStore
from tests.storage.series import SERIES, Key, cpu_reading, read_series, stats

IDLE = 1e6  # nanocores: a relative error of less than a millicore says nothing

OURS, PLAIN, KUBELET = "ours", "truncated", "usageNanoCores"


LEGEND = """
ours: what is served. truncated: the counter's difference over the Summary's times, which are cut to
seconds. usageNanoCores: the kubelet's own rate. Each against the mean rate between the two readings
by the exact times of /metrics/resource, or against a container's cap.
"""
REMARKABLE = 0.01  # an error of a served rate beyond this is explained


class Error(NamedTuple):
    """One rate against the truth, both in nanocores; windows in seconds."""

    answer: int  # the number of the answer
    cpu: float
    true_cpu: float
    window: float | None
    true_window: float

    @property
    def rate(self) -> float:
        """The error of the rate, relative to the true one."""
        return self.cpu / self.true_cpu - 1

    @property
    def length(self) -> float | None:
        """The error of the window, in seconds."""
        return None if self.window is None else self.window - self.true_window


def errors_of(path: Path, capped: dict[str, float]) -> dict[Key, dict[str, list[Error]]]:
    """Give, by stat and method, the error of every answer from the second on.

    `capped` has the true usage in cores of containers that the kernel caps.
    """
    store = MetricsStore(max_age=60.0)
    errors: dict[Key, dict[str, list[Error]]] = defaultdict(lambda: defaultdict(list))
    seen: dict[Key, tuple[float, int]] = {}  # the last distinct reading of the Summary
    true: dict[Key, tuple[float, int]] = {}  # the exact one that belongs to it
    for number, answer in enumerate(read_series(path)):
        store.put(answer.summary)
        now = answer.summary.answered_at
        exact = stats(answer.resource)
        for key, new in stats(answer.summary).items():
            reading = cpu_reading(new)
            if key not in exact or reading is None or seen.get(key) == reading:
                continue
            truth = cpu_reading(exact[key])
            if key in seen:
                (since, before), (time, counter) = true[key], truth
                window = time - since
                rate = capped.get(key[2], 0) * 1e9 or (counter - before) / window
                if rate >= IDLE:
                    cpu, served = _served(store, key, now)
                    plain, grown = reading[0] - seen[key][0], reading[1] - seen[key][1]
                    by = errors[key]
                    kubelet = new.cpu.usage_nano_cores or 0
                    by[OURS].append(Error(number, cpu, rate, served, window))
                    by[PLAIN].append(Error(number, grown / plain, rate, plain, window))
                    by[KUBELET].append(Error(number, kubelet, rate, None, window))
            seen[key], true[key] = reading, truth
    return errors


def _served(store: MetricsStore, key: Key, now: float) -> tuple[float, float]:
    namespace, pod, name = key
    if not pod:
        node = store.node_usage(name, now)
        return node.cpu, node.window
    usage = store.pod_usage(namespace, pod, now)
    cpu = next(container.cpu for container in usage.containers if container.name == name)
    return cpu, usage.window


def table(errors: dict[Key, dict[str, list[Error]]]) -> str:
    """Return the errors as lines of text."""
    lines = [
        f"{'stat':<44} {'method':<15} {'n':>3} {'mean':>8} {'worst':>8} {'window mean':>12} worst"
    ]
    for key in sorted(errors):
        for method in (OURS, PLAIN, KUBELET):
            of = errors[key][method]
            rates = [error.rate for error in of]
            windows = [error.length for error in of if error.length is not None]
            worst = max(rates, key=abs)
            line = f"{'/'.join(filter(None, key)):<44} {method:<15} {len(of):>3} "
            line += f"{fmean(rates):>+8.2%} {worst:>+8.2%} "
            if windows:
                line += f"{fmean(windows):>+10.3f} s {max(windows, key=abs):>+.3f} s"
            lines.append(line)
    return "\n".join(lines)


def explanations(errors: dict[Key, dict[str, list[Error]]]) -> str:
    """Say in words why a served rate is another than the mean between the two readings."""
    lines = []
    for key in sorted(errors):
        name = "/".join(filter(None, key))
        for error, kubelet in zip(errors[key][OURS], errors[key][KUBELET], strict=True):
            if abs(error.rate) > REMARKABLE:
                lines.append(f"{name}, {_explained(error, kubelet)}")
    return "\n".join(lines)


def _explained(error: Error, kubelet: Error) -> str:
    cpu, true = error.cpu / 1e9, error.true_cpu / 1e9
    line = f"answer {error.answer}: {error.rate:+.2%}. Served are {cpu:.3f} cores over "
    line += f"{error.window:.1f} s; between the two readings, {error.true_window:.1f} s apart, the "
    line += f"mean was {true:.3f} cores. "
    rest = error.true_window - error.window
    if abs(rest) < 1.0 and error.cpu == kubelet.cpu:
        return line + (
            "The load changed: what is served is the kubelet's own rate, which is of an earlier "
            "interval. Until a few answers show that a container is read at request time, nothing "
            "contradicts that rate if the counter has grown by as much to within a second."
        )
    if abs(rest) < 1.0:
        return line + "The windows are the same to a second: the rate itself is off."
    before = (true * error.true_window - cpu * error.window) / rest
    return line + (
        f"The load changed: what is served is the kubelet's own rate over its last interval, a "
        f"window {rest:.1f} s shorter than the truth's; in the time before that, "
        f"{before:.3f} cores were used."
    )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=SERIES)
    parser.add_argument("--capped", default="burn=0.15", help="NAME=CORES,… capped containers")
    given = parser.parse_args(arguments)
    pairs = (pair.partition("=") for pair in given.capped.split(",") if pair)
    errors = errors_of(given.file, {name: float(cores) for name, _, cores in pairs})
    sys.stdout.write(f"{table(errors)}\n{LEGEND}\n{explanations(errors)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
