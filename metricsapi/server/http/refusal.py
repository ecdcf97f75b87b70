"""Requests that are refused before they reach the app, and what happens to their connection.

A refusal always ends the connection, since nothing after it can be trusted. What happens before
depends on what is being received and what is being answered: see `ACTIONS`.
"""

from __future__ import annotations

from enum import Enum, auto

from metricsapi.api.status import StatusError

MALFORMED = "malformed"
HEADERS_TOO_LARGE = "headers_too_large"
MEMORY = "memory_for_headers"
TARGET_TOO_LONG = "target_too_long"
BODY_TOO_LARGE = "body_too_large"
TOO_SLOW = "too_slow"
PIPELINED = "pipelined"  # more requests behind each other than are queued
CONNECTIONS = "too_many_connections"
IN_FLIGHT = "too_many_requests"
TOO_MANY_HANDSHAKES = "too_many_handshakes"
EMPTY_RECORDS = "empty_tls_records"
# The flags that set the limits, for the log.
FLAGS = {
    HEADERS_TOO_LARGE: "--max-header-bytes, --max-header-count",
    TARGET_TOO_LONG: "--max-target-bytes",
    BODY_TOO_LARGE: "--max-body-bytes",
    TOO_SLOW: "--header-timeout",
    CONNECTIONS: "--max-connections",
    IN_FLIGHT: "--max-requests-inflight",
}


class Refused(Exception):
    """Ends the parsing of a connection.

    `reason` is one of those above; without a `status` the client gets no response.
    """

    def __init__(self, reason: str, status: StatusError | None = None) -> None:
        super().__init__(status.message if status else reason)
        self.reason = reason
        self.status = status


def malformed(message: str) -> Refused:
    """Return the refusal of what is no request, or could be read in more than one way."""
    return Refused(MALFORMED, StatusError(400, "BadRequest", message))


def headers_too_large() -> Refused:
    """Return the refusal of headers that are too large or too many."""
    text = "the request's headers are too large or too many"
    return Refused(HEADERS_TOO_LARGE, StatusError(431, "RequestHeaderFieldsTooLarge", text))


def no_memory_for_headers() -> Refused:
    """Return the refusal of large headers while many others have some."""
    text = "too many requests have large headers, please try again later"
    details, headers = {"retryAfterSeconds": 1}, {"Retry-After": "1"}
    return Refused(MEMORY, StatusError(429, "TooManyRequests", text, details, headers))


def target_too_long() -> Refused:
    """Return the refusal of a request target that is too long."""
    text = "the request target is too long"
    return Refused(TARGET_TOO_LONG, StatusError(414, "RequestURITooLong", text))


def body_too_large() -> Refused:
    """Return the refusal of a body that is too large."""
    text = "the body is too large"
    return Refused(BODY_TOO_LARGE, StatusError(413, "RequestEntityTooLarge", text))


def too_slow() -> Refused:
    """Return the refusal of a request that takes too long to arrive."""
    return Refused(TOO_SLOW, StatusError(408, "Timeout", "the request did not arrive in time"))


class Receiving(Enum):
    """What a connection is receiving."""

    NOTHING = auto()  # between two requests
    HEAD = auto()  # request line and headers
    BODY = auto()


class Answering(Enum):
    """How far a connection is with its responses."""

    NOTHING = auto()  # every request whose head has arrived has its response
    WAITING = auto()  # the newest request is with the app, which has sent nothing yet
    SENDING = auto()  # a response has begun, or requests before the newest wait for theirs


class Action(Enum):
    """What a refusal does to its connection, which closes in any case."""

    ANSWER = auto()  # send the refusal
    REPLACE = auto()  # send the refusal instead of the app's response
    FINISH = auto()  # send the responses that are due, and no refusal
    CUT = auto()  # close at once


ACTIONS = {
    (Receiving.NOTHING, Answering.NOTHING): Action.ANSWER,
    (Receiving.NOTHING, Answering.WAITING): Action.FINISH,
    (Receiving.NOTHING, Answering.SENDING): Action.FINISH,
    (Receiving.HEAD, Answering.NOTHING): Action.ANSWER,
    (Receiving.HEAD, Answering.WAITING): Action.FINISH,
    (Receiving.HEAD, Answering.SENDING): Action.FINISH,
    (Receiving.BODY, Answering.NOTHING): Action.CUT,  # its request has its answer
    (Receiving.BODY, Answering.WAITING): Action.REPLACE,
    (Receiving.BODY, Answering.SENDING): Action.CUT,
}


def action_for(receiving: Receiving, answering: Answering, refused: Refused) -> Action:
    """Return what a refusal does."""
    action = ACTIONS[receiving, answering]
    return Action.CUT if refused.status is None and action is not Action.FINISH else action
