"""The commands of Helm that docs/migration.md has: `python -m tests.e2e.migration.helm`.

Charts are rendered by the real engine, `lookup` in the cluster included. Objects are applied by
kubectl, whose merge of last applied, live and wanted is the one of Helm for releases that Helm 3
made, and what a release no longer has is deleted. Revisions are files below HELM_STATE.
"""

import argparse
import os
import subprocess
from pathlib import Path

import helm_python
import yaml

from tests.install.objects import identity


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", dest="namespace", required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("install", "upgrade"):
        command = commands.add_parser(name)
        command.add_argument("release")
        command.add_argument("chart", type=Path)
        command.add_argument("-f", dest="values", type=Path, action="append", default=[])
        for flag in ("--reset-values", "--take-ownership", "--force-conflicts"):
            command.add_argument(flag, action="store_true")
        command.add_argument("--set", dest="one", action="append", default=[])
    rollback = commands.add_parser("rollback")
    rollback.add_argument("release")
    rollback.add_argument("revision", type=int, nargs="?", default=0)
    options = parser.parse_args()
    folder = Path(os.environ["HELM_STATE"], options.release)
    folder.mkdir(parents=True, exist_ok=True)
    revisions = sorted(folder.iterdir(), key=lambda path: int(path.stem))
    if options.command == "rollback":
        text = revisions[options.revision - 1 if options.revision else -2].read_text()
    else:
        text = rendered(options)
    before = revisions[-1].read_text() if revisions else ""
    Path(folder, f"{len(revisions) + 1}.yaml").write_text(text)  # also of one that fails
    apply(text, before)


def rendered(options):
    """The manifest of a release, as Helm orders it: APIServices come last."""
    values = {}
    for path in options.values:
        values |= yaml.safe_load(path.read_text())
    for text in options.one:
        values |= helm_python.parse_set_string(text)
    configuration = helm_python.Config(
        kubeconfig_path=os.environ["KUBECONFIG"],
        namespace=options.namespace,
        storage_driver="memory",
    )
    with configuration as config, helm_python.Chart.load(options.chart) as chart:
        files = config.render(chart, values, name=options.release, namespace=options.namespace)
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    objects = [each for text in texts for each in yaml.safe_load_all(text) if each]
    objects.sort(key=lambda each: each["kind"] == "APIService")
    return yaml.safe_dump_all(objects)


def apply(text, before):
    subprocess.run(["kubectl", "apply", "-f", "-"], input=text, text=True, check=True)
    wanted = {identity(each) for each in yaml.safe_load_all(text)}
    for kind, namespace, name in map(identity, yaml.safe_load_all(before) if before else ()):
        if (kind, namespace, name) not in wanted:
            where = ["-n", namespace] if namespace else []
            command = ["kubectl", *where, "delete", kind, name, "--ignore-not-found"]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
