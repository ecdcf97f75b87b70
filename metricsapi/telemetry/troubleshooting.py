"""What to do about each cause of a node's trouble: one list for log, page, doctor and docs."""

from __future__ import annotations

from typing import NamedTuple


class Remedy(NamedTuple):
    """`title` says what is wrong, `fix` what to do, in words that stand alone."""

    title: str
    fix: str


_GET_CERTIFICATE = (
    "Let the kubelet get its certificate from the cluster: set serverTLSBootstrap: true in its "
    "configuration and approve its CSR (kubectl get csr; kubectl certificate approve NAME)"
)

UNKNOWN = Remedy(
    "the kubelet could not be read", "See the message and the server's log for this node."
)

REMEDIES: dict[str, Remedy] = {
    "no_address": Remedy(
        "the node has no address of a wanted type",
        "Add a type that the node has to --kubelet-preferred-address-types "
        "(kubectl get node NAME -o jsonpath='{.status.addresses}').",
    ),
    "name_not_found": Remedy(
        "the node's name does not resolve",
        "Put InternalIP first: --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname.",
    ),
    "refused": Remedy(
        "nothing listens on the kubelet's port",
        "Check that the kubelet runs and on which port "
        "(--kubelet-port, --kubelet-use-node-status-port).",
    ),
    "unreachable": Remedy(
        "the node's address cannot be reached",
        "Check routes and firewalls from the pod to the node, or use "
        "--kubelet-transport=apiserver-proxy, or run with host network.",
    ),
    "timeout": Remedy(
        "the kubelet did not respond in time",
        "A firewall that drops packets looks like this, and so does an overloaded node. "
        "Open the kubelet's port to this pod, use --kubelet-transport=apiserver-proxy, or raise "
        "--kubelet-request-timeout.",
    ),
    "reset": Remedy(
        "the connection was closed while it was used",
        "Check what stands between the pod and the kubelet; the kubelet may be restarting.",
    ),
    "truncated": Remedy(
        "the response ended early",
        "The kubelet or a proxy in between broke off; see the kubelet's log.",
    ),
    "too_large": Remedy(
        "the response is larger than allowed",
        "If the node really runs so much, raise --kubelet-max-response-bytes.",
    ),
    "not_http": Remedy(
        "what responded does not speak HTTP",
        "Another program listens on this port; check --kubelet-port.",
    ),
    "tls": Remedy(
        "the TLS handshake failed",
        "Check that a kubelet listens on this port and which TLS versions it allows.",
    ),
    "certificate_lacks_address": Remedy(
        "the kubelet's certificate names neither this address nor the node",
        f"{_GET_CERTIFICATE}, or choose an address type that it does name with "
        "--kubelet-preferred-address-types.",
    ),
    "certificate_self_signed": Remedy(
        "the kubelet signed its own certificate",
        f"{_GET_CERTIFICATE}. For a test cluster only: --kubelet-insecure-tls.",
    ),
    "certificate_unknown_ca": Remedy(
        "the kubelet's certificate is signed by an unknown CA",
        "Name the CA that signs kubelets' serving certificates with "
        "--kubelet-certificate-authority.",
    ),
    "certificate_unsuitable": Remedy(
        "the kubelet's certificate may not be used for this",
        "The message says why: a key usage or extended key usage that is no server's, a key or "
        f"hash that is too weak, or a critical extension that is not known. {_GET_CERTIFICATE}, or "
        "issue it again as a server's certificate.",
    ),
    "certificate_expired": Remedy(
        "the kubelet's certificate is not valid now",
        "Renew it (kubectl get csr shows a pending one), or correct the clocks.",
    ),
    "credentials": Remedy(
        "our own credentials cannot be read",
        "Check the service account's token, or the files that --kubelet-client-certificate and "
        "--kubelet-client-key name: the kubelet's client CA has to have signed the certificate.",
    ),
    "unauthorized": Remedy(
        "the kubelet does not know us (401)",
        "Enable token authentication on the kubelet (authentication.webhook.enabled: true), see "
        "that the token is one of this cluster, or give a client certificate that it trusts.",
    ),
    "forbidden": Remedy(
        "the kubelet does not allow us to read it (403)",
        "Grant get on nodes/stats (nodes/metrics for /metrics/resource, nodes/proxy with "
        "--kubelet-transport=apiserver-proxy) to the server's service account; manifests/ has the "
        "ClusterRole.",
    ),
    "not_found": Remedy(
        "the kubelet has no such endpoint (404)",
        "Use --kubelet-endpoint=auto. A node that has neither endpoint, as kwok's, needs the "
        "annotation metrics.k8s.io/resource-metrics-path with the path of its resource metrics.",
    ),
    "too_many_requests": Remedy(
        "the API server or the kubelet limits our requests (429)",
        "Scraping goes on after the pause that the response asks for. If it lasts, raise "
        "--metric-resolution, or give our requests a priority level of their own (a FlowSchema for "
        "the server's service account).",
    ),
    "status": Remedy(
        "the kubelet responded with an error",
        "See the message; the kubelet's own log says more.",
    ),
    "decode": Remedy(
        "the response makes no sense",
        "Check what listens on this port; if it is a kubelet, please report its version.",
    ),
    "too_many_pods": Remedy(
        "the response lists more pods than the node may have",
        "Compare it with the node's capacity (kubectl get node NAME -o "
        "jsonpath='{.status.capacity.pods}'): 1.5 times that and --kubelet-max-pods are allowed. "
        "A kubelet that lists more is not to be believed; is it really this node's?",
    ),
    "too_many_containers": Remedy(
        "the response lists more containers than the node may have",
        "One pod may have 250 containers, and all pods five on average. A kubelet that lists more "
        "is not to be believed; is it really this node's?",
    ),
    "no_usage": Remedy(
        "the node responds, but usage does not follow from its response",
        "The message says what is missing. See the log of the kubelet and of its container "
        "runtime; after a restart of the kubelet it may take half a minute. "
        "--kubelet-endpoint=resource reads the other endpoint. Where a number is more than the "
        "node's, as after processors or memory were added, restart the kubelet, which reads the "
        "capacity when it starts.",
    ),
    "api_server": Remedy(
        "the API server could not pass on the request",
        "Check that the API server reaches the node, and that get on nodes/proxy is granted.",
    ),
    "internal": Remedy(
        "reading the node failed in this program",
        "Please report it with the log lines of this node.",
    ),
}


def remedy(cause: str) -> Remedy:
    """Return what to do about a cause; one that is not listed gets general advice."""
    return REMEDIES.get(cause, UNKNOWN)
