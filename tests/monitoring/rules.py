"""The alerts and the dashboard as they are shipped: their expressions."""

import json

import yaml

from tests.support.paths import ROOT

FILES = ROOT / "manifests" / "chart" / "files"
# What Grafana puts in place of its variables where targets are scraped each second or so.
VARIABLES = {"$instance": ".+", "$__rate_interval": "15s"}


def groups():
    """The groups of rules, as Prometheus reads them."""
    text = (FILES / "prometheus-rule" / "prometheus-rule.yaml").read_text()
    return {"groups": yaml.safe_load(text)["spec"]["groups"]}


def alerts():
    """Each alert's expression by its name."""
    return {rule["alert"]: rule["expr"] for group in groups()["groups"] for rule in group["rules"]}


def dashboard():
    return json.loads((FILES / "grafana-dashboard" / "metricsapi.json").read_text())


def panels():
    """Each expression of the dashboard by (title, letter), with values for its variables."""
    expressions = {}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            expressions[panel["title"], target["refId"]] = expression
    return expressions
