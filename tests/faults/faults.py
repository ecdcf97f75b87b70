"""What each fault of a kubelet is counted as, and what it may cost."""

from dataclasses import dataclass

from metricsapi.tools.sandbox.faults import Fault


@dataclass(frozen=True)
class Expected:
    """`cause` is what the fault is counted as; `costs` is the node, one pod of it, or nothing."""

    fault: Fault
    cause: str
    costs: str = "node"

    @property
    def name(self):
        return str(self.fault)


FAULTS = (
    Expected(Fault.SLOW, "ok", costs="nothing"),
    Expected(Fault.HANG, "timeout"),
    Expected(Fault.HANG_BODY, "timeout"),
    Expected(Fault.TRICKLE, "timeout"),
    Expected(Fault.REFUSE, "refused"),
    Expected(Fault.RESET, "reset"),
    Expected(Fault.TRUNCATE, "truncated"),
    Expected(Fault.OVERSIZE, "too_large"),
    Expected(Fault.ENDLESS, "too_large"),
    Expected(Fault.NOT_HTTP, "not_http"),
    Expected(Fault.GARBAGE, "decode"),
    Expected(Fault.WRONG_NODE, "decode"),
    Expected(Fault.SKEW, "ok", costs="nothing"),
    Expected(Fault.CHUNKED, "ok", costs="nothing"),
    Expected(Fault.MISTYPED, "ok", costs="pod"),
    Expected(Fault.MISSING, "ok", costs="pod"),
    Expected(Fault.ABSURD, "ok", costs="pod"),
    Expected(Fault.UNAUTHORIZED, "unauthorized"),
    Expected(Fault.FORBIDDEN, "forbidden"),
    Expected(Fault.ERROR, "status"),
    Expected(Fault.CERT_EXPIRED, "certificate_expired"),
    Expected(Fault.CERT_UNKNOWN_CA, "certificate_unknown_ca"),
    Expected(Fault.CERT_SELF_SIGNED, "certificate_self_signed"),
    Expected(Fault.CERT_OTHER_NAME, "certificate_lacks_address"),
    Expected(Fault.CERT_NO_ADDRESS, "ok", costs="nothing"),
)
