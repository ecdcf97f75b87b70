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


class Error(NamedTuple):
    """One served rate against the truth: relative, and the window's error in seconds."""

    rate: float
    window: float | None


def errors_of(path: Path, capped: dict[str, float]) -> dict[Key, dict[str, list[Error]]]:
    """Give, by stat and method, the error of every answer from the second on.

    `capped` has the true usage in cores of containers that the kernel caps.
    """
    store = MetricsStore(max_age=60.0)
    errors: dict[Key, dict[str, list[Error]]] = defaultdict(lambda: defaultdict(list))
    seen: dict[Key, tuple[float, int]] = {}  # the last distinct reading of the Summary
    true: dict[Key, tuple[float, int]] = {}  # the exact one that belongs to it
    for answer in read_series(path):
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
                    by[OURS].append(Error(cpu / rate - 1, served - window))
                    by[PLAIN].append(Error(grown / plain / rate - 1, plain - window))
                    by[KUBELET].append(Error((new.cpu.usage_nano_cores or 0) / rate - 1, None))
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
    """Give the errors as lines of text."""
    lines = [
        f"{'stat':<44} {'method':<15} {'n':>3} {'mean':>8} {'worst':>8} {'window mean':>12} worst"
    ]
    for key in sorted(errors):
        for method in (OURS, PLAIN, KUBELET):
            of = errors[key][method]
            rates = [error.rate for error in of]
            windows = [error.window for error in of if error.window is not None]
            worst = max(rates, key=abs)
            line = f"{'/'.join(filter(None, key)):<44} {method:<15} {len(of):>3} "
            line += f"{fmean(rates):>+8.2%} {worst:>+8.2%} "
            if windows:
                line += f"{fmean(windows):>+10.3f} s {max(windows, key=abs):>+.3f} s"
            lines.append(line)
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=SERIES)
    parser.add_argument("--capped", default="burn=0.15", help="NAME=CORES,… capped containers")
    given = parser.parse_args(arguments)
    pairs = (pair.partition("=") for pair in given.capped.split(",") if pair)
    errors = errors_of(given.file, {name: float(cores) for name, _, cores in pairs})
    sys.stdout.write(table(errors) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
