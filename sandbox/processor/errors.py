"""Errors as Stripe's API words them: status, type, code, message, param.

``ApiError.is_stored`` carries the idempotency rule: a result is saved only once
execution has begun, so a failed validation, a 409 and a 429 may be retried under the
same key. https://docs.stripe.com/api/idempotent_requests
"""

from http import HTTPStatus
from typing import Any

Json = dict[str, Any]

_DOCS = "https://docs.stripe.com/error-codes/"


class ApiError(Exception):
    """An answer that is not a success, ready to be sent.

    Attributes:
        status: HTTP status.
        error: The object under ``error`` in the body.
        is_stored: True when the endpoint had begun to execute, so that the same
            idempotency key gets this same answer again.
        should_retry: Value of ``Stripe-Should-Retry``, or None to leave it out.
    """

    def __init__(
        self,
        status: int,
        error: Json,
        *,
        is_stored: bool = False,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(error.get("message", ""))
        self.status = status
        self.error = error
        self.is_stored = is_stored
        self.should_retry = should_retry


def _body(kind: str, message: str, code: str | None, param: str | None) -> Json:
    error: Json = {"message": message, "type": kind}
    if code is not None:
        error["code"] = code
        error["doc_url"] = _DOCS + code.replace("_", "-")
    if param is not None:
        error["param"] = param
    return error


def invalid(
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    status: int = HTTPStatus.BAD_REQUEST,
) -> ApiError:
    """Refuse a request before it executes; nothing is stored under its key."""
    return ApiError(status, _body("invalid_request_error", message, code, param))


def refused(message: str, *, code: str | None = None, **more: Any) -> ApiError:
    """Refuse while executing; the refusal is stored under the idempotency key."""
    error = _body("invalid_request_error", message, code, more.pop("param", None))
    return ApiError(HTTPStatus.BAD_REQUEST, {**error, **more}, is_stored=True)


def missing_parameter(name: str) -> ApiError:
    """A required parameter was not sent."""
    return invalid(
        f"Missing required param: {name}.", code="parameter_missing", param=name
    )


def unknown_parameter(name: str) -> ApiError:
    """A parameter the endpoint does not have was sent."""
    return invalid(
        f"Received unknown parameter: {name}", code="parameter_unknown", param=name
    )


def not_in_sandbox(name: str) -> ApiError:
    """Stripe knows this parameter and the sandbox cannot honour it.

    Refusing is better than ignoring it: the payment would not be the one asked for.
    """
    return invalid(f"The sandbox processor does not implement `{name}`.", param=name)


def no_such(noun: str, wanted: str, *, param: str, in_path: bool) -> ApiError:
    """No object has this id: 404 for the path's object, 400 for a parameter."""
    status = HTTPStatus.NOT_FOUND if in_path else HTTPStatus.BAD_REQUEST
    message = f"No such {noun}: '{wanted}'"
    return invalid(message, code="resource_missing", param=param, status=status)


def unexpected_state(message: str, intent: Json) -> ApiError:
    """The PaymentIntent's state does not allow this; the error carries the object."""
    code = "payment_intent_unexpected_state"
    return refused(message, code=code, payment_intent=intent)


def card_error(details: Json, intent: Json) -> ApiError:
    """A payment attempt failed; ``details`` is the intent's last payment error."""
    error = {**details, "payment_intent": intent}
    return ApiError(HTTPStatus.PAYMENT_REQUIRED, error, is_stored=True)


def unauthorized(presented: str | None) -> ApiError:
    """The API key is absent or not ours."""
    if presented is None:
        message = (
            "You did not provide an API key. You need to provide your API key in the "
            "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
            "YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for "
            "details, or we can help at https://support.stripe.com/."
        )
    else:
        shown = 4
        masked = presented[:8] + "*" * 8 + presented[-shown:]
        message = f"Invalid API Key provided: {masked}"
    return invalid(message, status=HTTPStatus.UNAUTHORIZED)


def unrecognized_url(method: str, path: str) -> ApiError:
    """No endpoint has this method and path."""
    return invalid(
        f"Unrecognized request URL ({method}: {path}). Please see "
        "https://stripe.com/docs or we can help at https://support.stripe.com/.",
        status=HTTPStatus.NOT_FOUND,
    )


def key_too_long(maximum: int) -> ApiError:
    """The idempotency key exceeds the documented length."""
    message = f"Idempotency keys may be at most {maximum} characters long."
    return ApiError(
        HTTPStatus.BAD_REQUEST, _body("idempotency_error", message, None, None)
    )


def key_reused(key: str) -> ApiError:
    """The key was first used with another endpoint or other parameters."""
    message = (
        "Keys for idempotent requests can only be used with the same parameters they "
        f"were first used with. Try using a key other than '{key}' if you meant to "
        "execute a different request."
    )
    return ApiError(
        HTTPStatus.BAD_REQUEST, _body("idempotency_error", message, None, None)
    )


def key_in_use(key: str) -> ApiError:
    """Another request under this key has not ended yet."""
    message = (
        "There is currently another in-progress request using this Idempotent Key "
        "(that probably means you submitted twice, and the other request is still "
        f"going through): {key}. Please try again later."
    )
    body = _body("idempotency_error", message, "idempotency_key_in_use", None)
    return ApiError(HTTPStatus.CONFLICT, body, should_retry=True)


def rate_limited() -> ApiError:
    """Too many requests; nothing was done."""
    message = (
        "Request rate limit exceeded. Learn more about rate limits here "
        "https://docs.stripe.com/rate-limits."
    )
    body = _body("invalid_request_error", message, "rate_limit", None)
    return ApiError(HTTPStatus.TOO_MANY_REQUESTS, body)


def lock_timeout() -> ApiError:
    """Another request holds the object; nothing was done and a retry is welcome."""
    message = (
        "This object cannot be accessed right now because another API request or "
        "Stripe process is currently accessing it. If you see this error "
        "intermittently, retry the request. If you see this error frequently and are "
        "making multiple concurrent requests to a single object, make your requests "
        "serially or at a lower rate."
    )
    body = _body("invalid_request_error", message, "lock_timeout", None)
    return ApiError(HTTPStatus.TOO_MANY_REQUESTS, body, should_retry=True)


def internal(request_id: str) -> ApiError:
    """Stripe's 500: it may or may not have acted, and it is stored under the key."""
    message = (
        "An unknown error occurred. If you continue to see this error, please contact "
        f"us at support@stripe.com and share your Request ID: {request_id}"
    )
    body = _body("api_error", message, None, None)
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR, body, is_stored=True, should_retry=False
    )


def unavailable() -> ApiError:
    """Stripe's 503: refused at the door, nothing was done, nothing is stored."""
    message = "Stripe is temporarily unavailable. Please try again."
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE, _body("api_error", message, None, None)
    )
