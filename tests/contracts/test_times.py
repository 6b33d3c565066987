"""Times of S3 are read and written as the SDK and moto do it, only sooner."""

from __future__ import annotations

from typing import Any

import botocore.utils
import pytest
from moto.core.serialize import S3Serializer
from moto.core.utils import get_service_model

from servo_emr.aws.door import Door, moment
from servo_emr.emulator.storage.times import TimedSerializer


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-18T12:00:00Z",
        "2026-11-18T12:00:00.250Z",
        "20261118T120000Z",
        "2026-11-18T12:00Z",
        "Wed, 18 Nov 2026 12:00:00 GMT",
        "2026-11-18T13:00:00+01:00",
        "2026-11-18",
        "1795003200",
        1795003200,
        1795003200.25,
    ],
)
def test_a_time_is_the_one_that_the_sdk_reads(written: Any) -> None:
    assert moment(written) == botocore.utils.parse_timestamp(written)
    assert moment(written).utcoffset() == botocore.utils.parse_timestamp(written).utcoffset()


@pytest.mark.parametrize("written", ["no time", "no timeZ", "no time GMT", "2026-13-18T12:00:00Z"])
def test_what_is_no_time_is_refused_as_the_sdk_refuses_it(written: str) -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        moment(written)


async def test_a_listing_is_read_as_the_sdk_reads_it(s3: Any) -> None:
    for key in ("a", "b"):
        s3.put_object(Bucket="acme-servo", Key=key, Body=b"1")
    read = [item async for item in Door("us-east-1").pages("s3", "ListObjectsV2", "Contents", Bucket="acme-servo")]
    assert read == s3.list_objects_v2(Bucket="acme-servo")["Contents"]
    assert len(read) == 2


@pytest.mark.parametrize(
    "written", ["2026-11-18T12:00:00Z", "2026-11-18T12:00:00.250Z", "2026-11-18T12:00:00", 1795003200]
)
def test_the_emulated_s3_writes_a_listing_as_moto_does(written: Any) -> None:
    result = {"Name": "acme-servo", "Contents": [{"Key": "a", "LastModified": written, "ETag": "1", "Size": 1}]}
    operation = get_service_model("s3").operation_model("ListObjectsV2")
    timed, own = (kind(operation_model=operation).serialize(result)["body"] for kind in (TimedSerializer, S3Serializer))
    assert timed == own
    assert "<LastModified>2026-11-18T12:00:00.000Z</LastModified>" in timed
