"""Places in S3, as people write them."""

from __future__ import annotations

__all__ = ["split_uri"]


def split_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of an s3:// URI; the key has no leading slash and may be empty.

    Raises:
        ValueError: it is no s3:// URI with a bucket.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme not in ("s3", "s3a", "s3n") or not bucket:
        raise ValueError(f"{uri!r} is not an s3://bucket/key URI")
    return bucket, key
