"""The emulator's small parts: markers, names of calls, the service model."""

from __future__ import annotations

import pytest

from servo_emr.emulator.emr.operations import OPERATIONS
from servo_emr.emulator.emr.pages import page
from servo_emr.emulator.protocol.errors import AwsError
from servo_emr.emulator.protocol.naming import operation_of, scope_of
from servo_emr.emulator.protocol.shapes import Shapes


def test_pages_go_through_everything_once_even_when_things_appear_in_front() -> None:
    items = [f"c{index:03d}" for index in range(120)]
    first, marker = page(items, None, str)
    second, marker = page(["new", *items], marker, str)
    third, end = page(["new", *items], marker, str)
    assert [*first, *second, *third] == items
    assert end is None


def test_a_marker_survives_that_its_item_leaves_the_filter() -> None:
    items = [f"c{index:03d}" for index in range(120)]
    first, marker = page(items, None, str)
    second, _ = page(items, marker, str, keep=lambda item: item != first[-1])
    assert second[0] == items[50]


@pytest.mark.parametrize("marker", ["", "?", "bm90LXRoZXJl", "\u00e9"])
def test_a_foreign_marker_is_refused(marker: str) -> None:
    with pytest.raises(AwsError, match="Marker"):
        page(["a"], marker, str)


def environ(method: str, path: str, query: str = "", **headers: str) -> dict[str, str]:
    named = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "127.0.0.1:1", **named}


@pytest.mark.parametrize(
    ("request_", "operation"),
    [
        (environ("GET", "/"), "ListBuckets"),
        (environ("PUT", "/bucket"), "CreateBucket"),
        (environ("HEAD", "/bucket"), "HeadBucket"),
        (environ("GET", "/bucket", "list-type=2&prefix=x"), "ListObjectsV2"),
        (environ("GET", "/bucket", "prefix=x"), "ListObjects"),
        (environ("GET", "/bucket", "location"), "GetBucketLocation"),
        (environ("POST", "/bucket", "delete"), "DeleteObjects"),
        (environ("GET", "/bucket/a/b"), "GetObject"),
        (environ("HEAD", "/bucket/a"), "HeadObject"),
        (environ("PUT", "/bucket/a"), "PutObject"),
        (environ("PUT", "/bucket/a", x_amz_copy_source="b/c"), "CopyObject"),
        (environ("POST", "/bucket/a", "uploads"), "CreateMultipartUpload"),
        (environ("PUT", "/bucket/a", "partNumber=1&uploadId=u"), "UploadPart"),
        (environ("POST", "/bucket/a", "uploadId=u"), "CompleteMultipartUpload"),
        (environ("DELETE", "/bucket/a", "uploadId=u"), "AbortMultipartUpload"),
        (environ("DELETE", "/bucket/a"), "DeleteObject"),
        (environ("PATCH", "/bucket/a"), "Unknown"),
    ],
)
def test_a_request_to_s3_has_its_operation_s_name(request_: dict[str, str], operation: str) -> None:
    assert operation_of(request_, "s3", b"") == operation


def test_the_other_protocols_name_their_operation_themselves() -> None:
    target = environ("POST", "/", x_amz_target="ElasticMapReduce.RunJobFlow")
    assert operation_of(target, "elasticmapreduce", b"") == "RunJobFlow"
    assert operation_of(environ("POST", "/"), "ec2", b"Action=DescribeSubnets&Version=1") == "DescribeSubnets"
    assert operation_of(environ("POST", "/"), "ec2", b"\xff") == "Unknown"


def test_a_request_is_signed_in_its_header_or_in_its_query() -> None:
    signed = scope_of(
        environ("POST", "/", authorization="AWS4-HMAC-SHA256 Credential=k/20260101/eu-west-1/ec2/aws4_request, x")
    )
    presigned = scope_of(environ("GET", "/b/k", "X-Amz-Credential=k%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"))
    assert signed is not None and (signed.service, signed.region, signed.caller) == ("ec2", "eu-west-1", "k")
    assert presigned is not None and (presigned.service, presigned.region) == ("s3", "us-east-1")
    assert scope_of(environ("GET", "/")) is None


def test_every_operation_that_the_emulator_has_is_one_of_emr() -> None:
    assert OPERATIONS.keys() <= Shapes().operations


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({}, "ClusterId"),
        ({"ClusterId": 5}, "valid types"),
        ({"ClusterId": "j-1", "StepState": []}, "StepState"),
        ({"ClusterId": "j-1", "StepStates": ["DONE"]}, "StepStates.1.member"),
        ({"ClusterId": "j" * 257}, "length at most 256"),
        (["ClusterId"], "not a JSON object"),
    ],
)
def test_a_request_that_does_not_fit_the_model_is_refused_by_member(document: object, complaint: str) -> None:
    with pytest.raises(AwsError, match=complaint):
        Shapes().check_request("ListSteps", document)


def test_an_answer_that_the_model_does_not_have_is_a_defect() -> None:
    shapes = Shapes()
    with pytest.raises(TypeError, match="Colour"):
        shapes.shape_answer("DescribeStep", {"Step": {"Colour": "blue"}})
    with pytest.raises(TypeError, match="SLEEPING"):
        shapes.shape_answer("DescribeStep", {"Step": {"Status": {"State": "SLEEPING"}}})
    with pytest.raises(TypeError, match="answers nothing"):
        shapes.shape_answer("TerminateJobFlows", {"Ids": []})
    assert shapes.shape_answer("DescribeStep", {"Step": {"Id": "s-1", "Name": None}}) == {"Step": {"Id": "s-1"}}
