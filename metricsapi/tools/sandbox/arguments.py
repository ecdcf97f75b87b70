"""The arguments of `metricsapi sandbox`, and what is refused of them before anything starts."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from metricsapi.tools.sandbox.faults import ANNOTATION, Fault, fault_named
from metricsapi.tools.sandbox.host import host_name
from metricsapi.tools.sandbox.manifests import Manifests, ManifestsError
from metricsapi.tools.sandbox.size import WORKLOADS, Size

MOST_NODES, MOST_PODS, MOST_CONTAINERS = 20_000, 1_000, 100
MOST_NAMESPACES = 10_000
_DESCRIPTION = "An embedded cluster on this machine, and the server in it, until Ctrl-C."


class Parser(argparse.ArgumentParser):
    """A parser whose errors are a line each, without the usage of all arguments before it."""

    def error(self, message: str) -> NoReturn:
        """End the process with status 2 and a message."""
        self.exit(
            2, f"{self.prog}: {message}\n{self.prog}: '{self.prog} --help' lists the arguments\n"
        )


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the arguments. What is wrong with them ends the process with status 2 and a message."""
    parser = arguments_parser()
    options = parser.parse_args(argv)
    if options.no_host and not options.nodes:
        parser.error("--no-host leaves no node: give some with --nodes=NUMBER")
    names = [] if options.no_host else [host_name()]
    if options.churn_pods and not options.nodes * options.pods:
        parser.error("--churn-pods: there are no synthetic pods (see --nodes and --pods)")
    if options.churn_nodes and not options.nodes:
        parser.error("--churn-nodes: there are no synthetic nodes (see --nodes)")
    for node, _ in options.fault:
        if node not in names and node not in {f"node-{i}" for i in range(options.nodes)}:
            some = [f"node-0 to node-{options.nodes - 1}"] if options.nodes else []
            parser.error(f"--fault: there is no node {node!r}, only {' and '.join(some + names)}")
    return options


def size_of(options: argparse.Namespace) -> Size:
    """Return the cluster that the arguments describe."""
    return Size(
        options.nodes,
        options.pods,
        options.containers,
        options.namespaces,
        options.workloads,
        host=not options.no_host,
        changing=options.changing,
        swap_every=options.swap_every,
        step=options.step,
        latency=options.kubelet_latency / 1000,
        groups=options.groups,
        churn_pods=options.churn_pods,
        churn_nodes=options.churn_nodes,
        faults=dict(options.fault),
        manifests=options.manifests,
    )


def arguments_parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments."""
    parser = Parser(prog="metricsapi sandbox", description=_DESCRIPTION)
    _add_synthetic(parser)
    _add_churn(parser)
    _add_cluster(parser)
    parser.add_argument("--metric-resolution", help="passed to the server")
    parser.add_argument("--once", action="store_true", help="end after the tables are printed")
    parser.add_argument("--without-server", action="store_true", help="only the cluster")
    parser.add_argument("server_flags", nargs="*", metavar="-- FLAGS", help="for the server")
    return parser


def _add_synthetic(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about synthetic nodes: how many, and what they do."""
    parser.add_argument(
        "--nodes",
        type=_number(0, MOST_NODES),
        default=Size.nodes,
        help="synthetic nodes beside this machine",
    )
    parser.add_argument(
        "--pods",
        type=_number(0, MOST_PODS),
        default=Size.pods,
        help="pods on each synthetic node",
    )
    parser.add_argument(
        "--containers",
        type=_number(1, MOST_CONTAINERS),
        default=Size.containers,
        help="containers in each of them",
    )
    parser.add_argument(
        "--namespaces",
        type=_number(1, MOST_NAMESPACES),
        default=Size.namespaces,
        help="among which the pods are divided",
    )
    parser.add_argument(
        "--workloads",
        type=_sizes,
        default=(),
        metavar="SIZES",
        help=f"1,100: in {WORKLOADS}, one pod has the label workload=1, 100 others workload=100",
    )
    parser.add_argument("--changing", action="store_true", help="their usage swings; else constant")
    parser.add_argument(
        "--step",
        type=_number(0, 86400),
        default=0,
        metavar="SECONDS",
        help="their usage doubles or halves at each multiple of so many seconds of Unix "
        "time, and the last 20 bits of a working set are the milliseconds of its reading",
    )
    parser.add_argument(
        "--kubelet-latency",
        type=_number(0, 60_000),
        default=0,
        metavar="MILLISECONDS",
        help="their kubelets begin to respond after so long in the mean, from half of it to one "
        "and a half times; a real kubelet of 60 pods takes some 100",
    )
    parser.add_argument(
        "--groups",
        type=_number(0, MOST_NODES),
        default=0,
        metavar="N",
        help="their pods have the label group: the node's number modulo N",
    )
    parser.add_argument(
        "--swap-every",
        type=_number(0, MOST_NODES),
        default=0,
        metavar="N",
        help="each Nth of them has swap",
    )


def _add_churn(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about synthetic pods and nodes that come and go."""
    parser.add_argument(
        "--churn-pods",
        type=_number(0, 10_000),
        default=0,
        metavar="N",
        help="so many of their pods are deleted each second, and as many created",
    )
    parser.add_argument(
        "--churn-nodes",
        type=_number(0, 10_000),
        default=0,
        metavar="N",
        help="so many of them leave each minute, and as many join",
    )


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about the cluster around the nodes, and where it is."""
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="NODE=FAULT",
        help="make a kubelet fail from the start (later: `kubectl annotate node NODE "
        f"{ANNOTATION}=FAULT`): {', '.join(Fault)}",
    )
    parser.add_argument(
        "--manifests",
        type=_manifests,
        metavar="PATH",
        help="rendered manifests, a folder or a file, as the server's objects: their args, and "
        "exactly their RBAC",
    )
    parser.add_argument(
        "--kubebuilder-assets",
        type=Path,
        metavar="DIR",
        help="a folder with kube-apiserver and etcd, to run in place of the stand-in",
    )
    parser.add_argument(
        "--port",
        type=_number(0, 65535),
        help="the API server's port (6443, or a free one where that is taken); 0 is a free one",
    )
    parser.add_argument("--state-dir", type=Path, default=Path(".state"), help="where files go")
    parser.add_argument("--no-host", action="store_true", help="leave this machine out")


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and least <= int(text[:20]) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most}")
        return int(text)

    return read


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(_number(1, MOST_NODES * MOST_PODS)(size) for size in text.split(","))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of numbers of pods: 1,100,1000"
        ) from None


def _manifests(text: str) -> Manifests:
    try:
        return Manifests.load(Path(text))
    except (OSError, ManifestsError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _fault(text: str) -> tuple[str, Fault]:
    node, _, name = text.partition("=")
    fault = fault_named(name)
    if fault is None or not node:
        raise argparse.ArgumentTypeError(f"{text!r} is not NODE=FAULT, one of {', '.join(Fault)}")
    return node, fault
