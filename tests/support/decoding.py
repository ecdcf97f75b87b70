"""Answers of kubelets, decoded at once."""

from metricsapi.scrape.decoding import Exchange, run
from metricsapi.scrape.resource_metrics import resource_steps
from metricsapi.scrape.summary import summary_steps


def decode_summary(node, body, **times):
    """Return the sample of a Summary, file systems included; `times` as in Exchange."""
    return run(summary_steps(body, Exchange(node, **times), disks=True))


def decode_resource_metrics(node, body, **times):
    """Return the sample of an exposition."""
    return run(resource_steps(body, Exchange(node, **times)))
