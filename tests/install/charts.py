"""The chart, rendered by the real Helm engine."""

import pytest

from tests.install.objects import MANIFESTS, parse

# It has no build for every platform (pyproject.toml).
helm = pytest.importorskip("helm_python", reason="the Helm engine has no build for this platform")

CHART = MANIFESTS / "chart"


def render(values=None, *, name="metrics-server", namespace="kube-system"):
    """The objects of a release, by identity. Raises helm.HelmError if Helm refuses the values."""
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values or {}, name=name, namespace=namespace)
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return parse("\n---\n".join(texts))
