"""Error answers of the emulated EMR: AWS's codes, with the messages that its documentation or its users show."""

from __future__ import annotations

__all__ = ["AwsError", "invalid_request", "no_such_cluster", "validation"]


class AwsError(Exception):
    """An answer other than success: `code` as clients see it, HTTP `status`; `detail` is the member ErrorCode."""

    def __init__(self, code: str, message: str, status: int = 400, detail: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.detail = detail


def validation(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def invalid_request(message: str, detail: str = "InvalidRequest") -> AwsError:
    return AwsError("InvalidRequestException", message, detail=detail)


def no_such_cluster(cluster_id: str) -> AwsError:
    return invalid_request(f"Cluster id '{cluster_id}' is not valid.")
