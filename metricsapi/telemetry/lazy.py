"""Metric families with a series for each node: made and written while they are iterated over.

At 5,000 nodes a histogram by node has 70,000 samples. Made at once they hold the event loop, and
while all of them exist the garbage collector traverses them again and again; and
prometheus_client's encoders take 400 ms for them. Their lines are the same in both of its formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from prometheus_client.core import Metric, Sample
from prometheus_client.utils import floatToGoString

Family = TypeVar("Family", bound=Metric)


class LazySamples:
    """The samples of a family, made anew for each iteration; `lines` gives them as text."""

    def __init__(
        self, make: Callable[[], Iterable[Sample]], lines: Callable[[], Iterator[str]]
    ) -> None:
        self._make = make
        self.lines = lines

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._make())


def lazily(
    family: Family, make: Callable[[], Iterable[Sample]], lines: Callable[[], Iterator[str]]
) -> Family:
    """Return `family` with samples that `make` yields at each iteration.

    `lines` yields the same samples in the text format of prometheus_client, some at a time.
    """
    family.samples = LazySamples(make, lines)  # type: ignore[assignment]  # encoders only iterate
    return family


def gauge_lines(name: str, label: str, values: Iterable[tuple[str, float]]) -> Iterator[str]:
    """Write a gauge with one label: a line for each pair of the label's value and the gauge's."""
    for of, value in values:
        yield f'{name}{{{label}="{escaped(of)}"}} {number_text(value)}\n'


def histogram_template(name: str, labels: Sequence[str], bounds: Sequence[str]) -> str:
    """Return the lines of one series of a histogram, with `%s` for label values and numbers.

    What fills it, for each bound and then for `_count` and `_sum`: the values of the labels, sorted
    by the labels' names, and the number.
    """
    own = dict.fromkeys(labels, "%s")
    names = [f"{name}_bucket{_labels_text({**own, 'le': bound})}" for bound in bounds]
    names += [f"{name}_{part}{_labels_text(own)}" for part in ("count", "sum")]
    return "".join(f"{each} %s\n" for each in names)


def count_text(count: int) -> str:
    """Write a whole number of 0 or more as encoders do."""
    return f"{count}.0" if count < 1_000_000 else number_text(count)


def number_text(value: float) -> str:
    """Write a number as encoders do: as Go does, but with `.0`."""
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def escaped(value: str) -> str:
    """Escape the value of a label."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _labels_text(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{{{pairs}}}" if pairs else ""
