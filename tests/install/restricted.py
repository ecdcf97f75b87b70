"""The `restricted` Pod Security Standard, rule by rule, for a pod's spec on Linux.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ (baseline and restricted).
"""

BASELINE_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
}
SELINUX_TYPES = {
    None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t",
}  # fmt: skip
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret", "image",
}  # fmt: skip
KINDS_OF_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


def violations(template):
    """Name every rule that a pod template breaks, sorted, each once."""
    spec = template["spec"]
    found = set(_pod(spec))
    found |= {
        "AppArmor"
        for key, value in template.get("metadata", {}).get("annotations", {}).items()
        if key.startswith(APPARMOR_ANNOTATION)
        and value != "runtime/default"
        and not value.startswith("localhost/")
    }
    for kind in KINDS_OF_CONTAINERS:
        for container in spec.get(kind, []):
            found |= set(_container(container, spec.get("securityContext", {})))
    return sorted(found)


def _pod(spec):
    if spec.get("hostNetwork") or spec.get("hostPID") or spec.get("hostIPC"):
        yield "Host Namespaces"
    context = spec.get("securityContext", {})
    yield from _either(context)
    if {sysctl["name"] for sysctl in context.get("sysctls", [])} - SAFE_SYSCTLS:
        yield "Sysctls"
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        if "hostPath" in kinds:
            yield "HostPath Volumes"
        if kinds - VOLUMES:
            yield "Volume Types"


def _container(container, pod_context):
    context = container.get("securityContext", {})
    yield from _either(context)
    yield from _capabilities(context.get("capabilities", {}))
    if context.get("privileged"):
        yield "Privileged Containers"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "Host Ports"
    if context.get("procMount", "Default") != "Default":
        yield "/proc Mount Type"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "Privilege Escalation"
    if not context.get("runAsNonRoot", pod_context.get("runAsNonRoot")):
        yield "Running as Non-root"
    if not context.get("seccompProfile", pod_context.get("seccompProfile")):
        yield "Seccomp"
    for hook in (*container.get("lifecycle", {}).values(), *_probes(container)):
        if hook.get("httpGet", {}).get("host") or hook.get("tcpSocket", {}).get("host"):
            yield "Host Probes / Lifecycle Hooks"


def _capabilities(capabilities):
    added = set(capabilities.get("add", []))
    if "ALL" not in capabilities.get("drop", []) or added - {"NET_BIND_SERVICE"}:
        yield "Capabilities (restricted)"
    if added - BASELINE_CAPABILITIES:
        yield "Capabilities (baseline)"


def _probes(container):
    return [container[name] for name in container if name.endswith("Probe")]


def _either(context):
    """What is forbidden in a pod's and in a container's security context alike."""
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "HostProcess"
    if context.get("runAsUser") == 0:
        yield "Running as Non-root user"
    if context.get("runAsNonRoot") is False:
        yield "Running as Non-root"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield "SELinux"
    if context.get("seccompProfile", {"type": "RuntimeDefault"})["type"] == "Unconfined":
        yield "Seccomp"
    if context.get("appArmorProfile", {"type": "RuntimeDefault"})["type"] == "Unconfined":
        yield "AppArmor"
