"""When nodes are to be scraped because pods on them have just started. Pure; nothing is scheduled.

A new pod has usage from its second reading on. On the plain schedule that is up to two periods
after it began to run. Here its node is wanted

- at once when the pod is seen to run, and again `min_interval` after the first answer that lists
  it, which may not be the first answer: a kubelet may know a new container late;
- once more when the pod is ready. The HPA counts a new pod from the first usage whose `timestamp`
  minus `window` is not before Ready. Both times are cut to whole seconds, so a window that begins a
  second after Ready certainly counts. The reading where the window ends is the planner's, before
  the query.

A scrape serves all pods of a node, so what is wanted within a second is one scrape, at the last of
these times. However many pods start on a node, and whatever their readiness does, they are a reason
for no more than `PER_PERIOD` scrapes a period, with `BURST` at once. This budget is theirs alone:
a start takes three scrapes within a period, which the planner's budget for queries does not have.

Where the API server does not tell the node of a pod, the first answer that lists the pod does, and
a second reading follows that one. All times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf

from msgspec import Struct

from metricsapi.kube.resources import Pod
from metricsapi.storage.types import NodeSample, PodStats

AFTER_READY = 1.0  # seconds
TOGETHER = 1.0  # seconds: times that are no further apart are one scrape
PER_PERIOD = 2.0  # scrapes of a node, for whatever reason, that leave room for one of ours
BURST = 4.0  # the start of one pod takes three
UNLISTED = 4  # answers without a pod, after which none is waited for
PATIENCE = 60.0  # seconds, after which no answer is waited for
# Seconds: the HPA's --horizontal-pod-autoscaler-cpu-initialization-period. Of older pods it does
# not ask when they became ready.
YOUNG = 300.0
REMEMBERED = 65_536  # young pods, in all

Key = tuple[str, str]  # namespace, name


class _Start(Struct, gc=False):
    """A young pod, and from when on its node is to be scraped for it; `inf`: it is not."""

    pod: Pod
    node: str  # empty while it is not known
    at: float  # when it was seen to run
    due: float  # for usage at all
    ready_due: float = inf  # for usage from after Ready
    readings: int = 0
    unlisted: int = 0

    def read(self, began: float, min_interval: float) -> None:
        """Note that an answer lists the pod; `began` is when its request did."""
        self.readings += 1
        self.due = began + min_interval if self.readings == 1 else inf
        if self.ready_due <= began:
            self.ready_due = inf

    def missed(self, began: float) -> None:
        """Note that an answer does not list the pod."""
        if began < min(self.due, self.ready_due):
            return
        self.unlisted += 1
        if self.unlisted == UNLISTED or began > self.at + PATIENCE:
            self.due = self.ready_due = inf

    @property
    def waits(self) -> bool:
        return min(self.due, self.ready_due) < inf


class _Node(Struct, gc=False):
    """The pods of a node that wait for a reading, and a token bucket of all of its scrapes."""

    waiting: dict[Key, _Start]
    last: float = -inf  # when its last scrape began
    tokens: float = BURST  # after that

    def scraped(self, began: float, rate: float) -> None:
        self.tokens = max(0.0, self.tokens_at(began, rate) - 1.0)
        self.last = began

    def affords_from(self, rate: float) -> float:
        """Return from when on there is a token; `rate` is in tokens a second."""
        return self.last + max(0.0, 1.0 - self.tokens) / rate

    def tokens_at(self, now: float, rate: float) -> float:
        return min(BURST, self.tokens + max(0.0, now - self.last) * rate)


class YoungPods:
    """Follows pods and samples, and says when a node is wanted."""

    def __init__(self, *, min_interval: float, period: float) -> None:
        """Take --min-scrape-interval and --metric-resolution, in seconds."""
        self._min_interval = min_interval
        self._rate = PER_PERIOD / period
        self._starts: dict[Key, _Start] = {}  # in the order of their starts
        self._without_node: dict[Key, _Start] = {}  # those whose node is not known
        self._nodes: dict[str, _Node] = {}

    def pod_changed(self, old: Pod | None, new: Pod | None, now: float) -> str:
        """Follow an event of the pods informer after its first list.

        Gives the node that is to be planned again; empty if there is none.
        """
        self._expire(now)
        if old is not None and (new is None or new.uid != old.uid):
            self._forget(old.key)
            old = None
        if new is None:
            return ""
        start = self._starts.get(new.key)
        if old is None:
            start = self._starts[new.key] = _Start(new, "", now, now)
        if start is None:
            return ""
        start.pod = new
        start.node = start.node or new.node
        if new.ready != (old is not None and old.ready):
            start.ready_due = now + AFTER_READY if new.ready else inf
        self._assign(start)
        return start.node

    def scraped(self, sample: NodeSample) -> bool:
        """Take the answer of a node; return whether the node is to be planned again."""
        node = self._nodes.get(sample.node)
        if self._without_node:
            node = self._assign_listed(sample) or node
        if node is None:
            return False
        began = sample.requested_at
        node.scraped(began, self._rate)
        if not node.waiting:
            if node.tokens >= BURST - 1.0:  # it was full: it is scraped as the schedule says
                del self._nodes[sample.node]
            return False
        listed = {key: pod for key, pod in _readable(sample.pods) if key in node.waiting}
        for key, start in list(node.waiting.items()):
            stats = listed.get(key)
            if stats is not None and _is_same(start.pod, stats):
                start.read(began, self._min_interval)
            else:
                start.missed(began)
            if not start.waits:
                del node.waiting[key]
        return True

    def wanted(self, node: str, last: float = -inf) -> Sequence[float]:
        """Return the times at which a node is wanted, in order and `min_interval` apart.

        `last` is when its last scrape was due, which may still be in flight. The first time may be
        past: as soon as possible. None of them needs more than this budget has.
        """
        known = self._nodes.get(node)
        if known is None or not known.waiting:
            return ()
        dues = sorted(
            due
            for start in known.waiting.values()
            for due in (start.due, start.ready_due)
            if due < inf
        )
        earliest = max(known.last, last) + self._min_interval
        earliest = max(earliest, known.affords_from(self._rate))
        return list(_together(dues, earliest, self._min_interval))

    def forget(self, node: str) -> None:
        """Note that a node is gone."""
        if known := self._nodes.pop(node, None):
            for key in known.waiting:
                self._starts.pop(key, None)

    def _assign(self, start: _Start) -> None:
        """Let a start wait on its node, or for the node that lists it."""
        key = start.pod.key
        if not start.node:
            self._without_node[key] = start
            return
        self._without_node.pop(key, None)
        if start.waits:
            self._nodes.setdefault(start.node, _Node({})).waiting[key] = start
        else:
            self._stop_waiting(start)

    def _assign_listed(self, sample: NodeSample) -> _Node | None:
        """Let the starts of unknown nodes that a node lists wait there."""
        for key, stats in _readable(sample.pods):
            start = self._without_node.get(key)
            if start is not None and _is_same(start.pod, stats):
                start.node = sample.node
                self._assign(start)
        return self._nodes.get(sample.node)

    def _stop_waiting(self, start: _Start) -> None:
        if (node := self._nodes.get(start.node)) is not None:
            node.waiting.pop(start.pod.key, None)
            if not node.waiting and node.last == -inf:  # it is not scraped, as far as is known
                del self._nodes[start.node]

    def _forget(self, key: Key) -> None:
        if (start := self._starts.pop(key, None)) is not None:
            self._without_node.pop(key, None)
            self._stop_waiting(start)

    def _expire(self, now: float) -> None:
        """Forget those that are no longer young, and the oldest ones if there are too many."""
        while self._starts:
            key, start = next(iter(self._starts.items()))
            if now - start.at <= YOUNG and len(self._starts) <= REMEMBERED:
                break
            self._forget(key)


def _readable(pods: Iterable[PodStats]) -> Iterator[tuple[Key, PodStats]]:
    """Yield the pods of an answer whose containers have CPU usage, by namespace and name."""
    for pod in pods:
        if pod.containers and all(container.cpu is not None for container in pod.containers):
            yield (pod.pod_ref.namespace, pod.pod_ref.name), pod


def _is_same(pod: Pod, listed: PodStats) -> bool:
    """Return whether an answer's pod is not another one of the same name."""
    uid = listed.pod_ref.uid
    return not uid or not pod.uid or uid in (pod.uid, pod.static_uid)


def _together(dues: Sequence[float], earliest: float, min_interval: float) -> Iterator[float]:
    """Yield the fewest times, `min_interval` apart, that serve what is due from these times on."""
    at = -inf
    for index, due in enumerate(dues):
        if due <= at:
            continue  # the last scrape serves this
        first = max(due, earliest)
        at = max([first, *(later for later in dues[index:] if later <= first + TOGETHER)])
        yield at
        earliest = at + min_interval
