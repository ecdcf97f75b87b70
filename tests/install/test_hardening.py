"""The pod passes the `restricted` Pod Security Standard, and has what keeps it alive and small."""

import copy

import pytest

from metricsapi.server.http.server import GRACE
from tests.install.objects import VARIANTS, args, container, deployment, rendered
from tests.install.restricted import violations


def template(variant="default"):
    return copy.deepcopy(deployment(rendered(variant))["spec"]["template"])


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "host-network"])
def test_a_variant_passes_restricted(variant):
    assert violations(template(variant)) == []


def test_the_host_network_is_all_that_its_variant_takes():
    assert violations(template("host-network")) == ["Host Namespaces"]


BREAKS = {
    "hostPID": ("Host Namespaces", lambda spec, _: spec.update(hostPID=True)),
    "hostPath": ("HostPath Volumes", lambda spec, _: spec["volumes"][0].update(hostPath={})),
    "volume": ("Volume Types", lambda spec, _: spec["volumes"][0].update(nfs={})),
    "sysctl": (
        "Sysctls",
        lambda spec, _: spec["securityContext"].update(sysctls=[{"name": "kernel.msgmax"}]),
    ),
    "privileged": ("Privileged Containers", lambda _, context: context.update(privileged=True)),
    "escalation": (
        "Privilege Escalation",
        lambda _, context: context.pop("allowPrivilegeEscalation"),
    ),
    "root": ("Running as Non-root user", lambda _, context: context.update(runAsUser=0)),
    "may be root": ("Running as Non-root", lambda _, context: context.update(runAsNonRoot=False)),
    "seccomp": (
        "Seccomp",
        lambda _, context: context.update(seccompProfile={"type": "Unconfined"}),
    ),
    "capabilities kept": (
        "Capabilities (restricted)",
        lambda _, context: context.pop("capabilities"),
    ),
    "capability": (
        "Capabilities (baseline)",
        lambda _, context: context["capabilities"].update(add=["SYS_ADMIN"]),
    ),
    "proc": ("/proc Mount Type", lambda _, context: context.update(procMount="Unmasked")),
    "SELinux": ("SELinux", lambda _, context: context.update(seLinuxOptions={"type": "spc_t"})),
    "AppArmor": (
        "AppArmor",
        lambda _, context: context.update(appArmorProfile={"type": "Unconfined"}),
    ),
    "Windows": (
        "HostProcess",
        lambda _, context: context.update(windowsOptions={"hostProcess": True}),
    ),
    "port": (
        "Host Ports",
        lambda spec, _: spec["containers"][0]["ports"][0].update(hostPort=10250),
    ),
    "probe": (
        "Host Probes / Lifecycle Hooks",
        lambda spec, _: spec["containers"][0]["livenessProbe"]["httpGet"].update(host="elsewhere"),
    ),
}


@pytest.mark.parametrize(("rule", "change"), BREAKS.values(), ids=BREAKS)
def test_each_rule_would_be_seen_broken(rule, change):
    broken = template()
    change(broken["spec"], broken["spec"]["containers"][0]["securityContext"])
    assert rule in violations(broken)


def test_missing_contexts_break_rules():
    bare = template()
    del bare["spec"]["securityContext"]
    del bare["spec"]["containers"][0]["securityContext"]
    assert violations(bare) == [
        "Capabilities (restricted)",
        "Privilege Escalation",
        "Running as Non-root",
        "Seccomp",
    ]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_root_is_read_only_and_what_is_written_lies_in_memory(variant):
    objects = rendered(variant)
    spec = deployment(objects)["spec"]["template"]["spec"]
    assert container(objects)["securityContext"]["readOnlyRootFilesystem"] is True
    (mount,) = container(objects)["volumeMounts"]
    (volume,) = spec["volumes"]
    assert volume["emptyDir"]["medium"] == "Memory"
    assert f"--cert-dir={mount['mountPath']}" in args(objects)
    assert mount["name"] == volume["name"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_pod_is_given_time_to_leave(variant):
    objects = rendered(variant)
    (delay,) = [flag for flag in args(objects) if flag.startswith("--shutdown-delay-duration=")]
    seconds = int(delay.partition("=")[2].removesuffix("s"))
    grace = deployment(objects)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert seconds > 0
    assert grace > seconds + GRACE


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_port_is_one_in_flag_container_probes_and_service(variant):
    objects = rendered(variant)
    (port,) = container(objects)["ports"]
    assert f"--secure-port={port['containerPort']}" in args(objects)
    service = objects["Service", "kube-system", "metrics-server"]["spec"]
    assert [each["targetPort"] for each in service["ports"]] == [port["name"]]
    for probe, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert container(objects)[probe]["httpGet"] == {
            "path": path,
            "port": port["name"],
            "scheme": "HTTPS",
        }


def test_on_the_host_network_the_port_is_not_the_kubelets():
    (port,) = container(rendered("host-network"))["ports"]
    assert port["containerPort"] != 10250


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_scheduled_before_others_and_asks_for_what_it_needs(variant):
    objects = rendered(variant)
    spec = deployment(objects)["spec"]["template"]["spec"]
    assert spec["priorityClassName"] == "system-cluster-critical"
    assert set(container(objects)["resources"]["requests"]) == {"cpu", "memory"}
    # A limit on CPU would throttle answers; one on memory would end it in a big cluster.
    assert "limits" not in container(objects)["resources"]
