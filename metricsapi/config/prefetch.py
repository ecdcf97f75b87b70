"""Settings of prefetch: scrapes shortly before expected queries."""

from __future__ import annotations

from dataclasses import dataclass

from metricsapi.config.groups import SERVER


@dataclass(frozen=True, kw_only=True)
class PrefetchSettings:
    """Whether nodes are scraped before queries, and how often. Seconds."""

    enabled: bool = SERVER.boolean(
        "prefetch",
        True,
        "Learn when each query for pods comes again, and scrape the nodes that it reads shortly "
        "before. Without effect with --kubelet-transport=apiserver-proxy.",
    )
    min_interval: float = SERVER.duration(
        "min-scrape-interval",
        5.0,
        "The least time between two scrapes of a node that --prefetch may make, from 1s to "
        "--metric-resolution. The default is --metric-resolution where that is shorter.",
        minimum=1.0,
    )
