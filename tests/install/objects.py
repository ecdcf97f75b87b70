"""The rendered manifests as objects, found by what they are called."""

import importlib.util

import yaml

from tests.support.paths import ROOT

MANIFESTS = ROOT / "manifests"
# As yaml.safe_load, by libyaml where PyYAML is built with it: ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RENDERED = MANIFESTS / "rendered"
VARIANTS = sorted(path.parent.name for path in RENDERED.glob("*/components.yaml"))


def load_script(path):
    """A script of the repository that belongs to no package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def identity(thing):
    """What tells one object of a cluster from another: (kind, namespace or "", name)."""
    metadata = thing["metadata"]
    return thing["kind"], metadata.get("namespace", ""), metadata["name"]


def parse(text):
    """Objects by identity; two of the same identity are a fault."""
    objects = [thing for thing in yaml.load_all(text, Loader=LOADER) if thing]
    by_identity = {identity(thing): thing for thing in objects}
    assert len(by_identity) == len(objects), "an object is there twice"
    return by_identity


def rendered(variant):
    """The committed rendering of a variant: both of its files."""
    names = ("components.yaml", "apiservice.yaml")
    return parse("---\n".join((RENDERED / variant / name).read_text() for name in names))


def deployment(objects):
    return objects["Deployment", "kube-system", "metrics-server"]


def container(objects):
    (only,) = deployment(objects)["spec"]["template"]["spec"]["containers"]
    return only


def args(objects):
    """The server's flags, with the pod's IP address where a kubelet would put it."""
    return [flag.replace("$(POD_IP)", "127.0.0.1") for flag in container(objects)["args"]]
