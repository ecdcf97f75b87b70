"""No object has a null, whatever value is null: with a null, Git and cluster are never in sync."""

import pytest
import yaml

from tests.install.charts import CHART, helm, render
from tests.install.metrics_server_values import merged
from tests.install.objects import container


def nulls(thing, path=""):
    """The paths in an object where a null is."""
    if thing is None:
        return [path]
    if isinstance(thing, dict):
        parts = thing.items()
    else:
        parts = enumerate(thing) if isinstance(thing, list) else ()
    return [null for key, part in parts for null in nulls(part, f"{path}/{key}")]


def leaves(values, path=()):
    """The paths of all keys, sections included."""
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


def at(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


OURS = yaml.safe_load((CHART / "values.yaml").read_text())
ALL_ON = {
    "podDisruptionBudget": {"enabled": True},
    "serviceMonitor": {"enabled": True},
    "networkPolicy": {"enabled": True},
    "replicas": 2,
}


def refused_or_nulls(values):
    """The text of the refusal, or the paths of nulls in the objects."""
    try:
        objects = render(values)
    except helm.HelmError as refused:
        return str(refused), []
    return "", [null for thing in objects.values() for null in nulls(thing)]


@pytest.mark.slow
def test_a_key_that_is_null_has_its_default_or_is_refused_by_name():
    for tls in ("metrics-server", "cert-manager"):
        for path in leaves(OURS):
            values = merged(merged(ALL_ON, {"tls": {"type": tls}}), at(path, None))
            refusal, rendered = refused_or_nulls(values)
            assert rendered == [], path
            assert not refusal or path[-1] in refusal, (path, refusal)


def test_a_null_within_a_section_of_the_user_is_left_out():
    values = {
        "resources": {"limits": {"cpu": None, "memory": "1Gi"}},
        "podAnnotations": {"a": None, "b": "c"},
        "affinity": {"nodeAffinity": None},
    }
    assert refused_or_nulls(values) == ("", [])
    assert container(render(values))["resources"]["limits"] == {"memory": "1Gi"}
