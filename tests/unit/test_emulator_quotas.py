"""The emulated Service Quotas: what is answered about EC2 and EMR, and what goes on to others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from servo_emr.emulator.prices.quotas import QUOTAS, QuotaApplication
from servo_emr.emulator.protocol.errors import AwsError
from tests.support.signed import ask


def test_a_quota_has_the_value_that_it_was_given_and_awss_default_beside_it() -> None:
    application = QuotaApplication(no_moto, {"L-1216C47A": 12.0})
    request = {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}
    target = "ServiceQuotasV20190624.{}".format
    applied = ask(application, "servicequotas", target("GetServiceQuota"), request)["Quota"]
    assert (applied["Value"], applied["UsageMetric"]["MetricDimensions"]["Class"]) == (12.0, "Standard/OnDemand")
    assert ask(application, "servicequotas", target("GetAWSDefaultServiceQuota"), request)["Quota"]["Value"] == 5.0
    listed = ask(application, "servicequotas", target("ListServiceQuotas"), {"ServiceCode": "ec2"})["Quotas"]
    assert {quota["QuotaCode"] for quota in listed} == QUOTAS.keys()
    of_emr = {"ServiceCode": "elasticmapreduce"}
    assert ask(application, "servicequotas", target("ListServiceQuotas"), of_emr)["Quotas"] == []
    for wrong in ({**request, "QuotaCode": "L-0"}, {**of_emr, "QuotaCode": "L-1216C47A"}):
        with pytest.raises(AwsError, match="NoSuchResourceException"):
            ask(application, "servicequotas", target("GetServiceQuota"), wrong)
    with pytest.raises(AwsError, match=r"ValidationException.*QuotaCode"):
        ask(application, "servicequotas", target("GetServiceQuota"), {"ServiceCode": "ec2"})
    with pytest.raises(AwsError, match=r"ValidationException.*ServiceCode"):
        ask(application, "servicequotas", target("GetServiceQuota"), {})


def test_a_quota_of_another_service_is_asked_of_whoever_else_answers_and_is_still_whole() -> None:
    asked: list[bytes] = []

    def others(environ: Any, start_response: Any) -> list[bytes]:
        asked.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b'{"Quota": {"Value": 5.0}}']

    request = {"ServiceCode": "vpc", "QuotaCode": "L-F678F1CE"}
    answer = ask(QuotaApplication(others), "servicequotas", "ServiceQuotasV20190624.GetServiceQuota", request)
    assert answer == {"Quota": {"Value": 5.0}} and [json.loads(body) for body in asked] == [request]


@pytest.mark.parametrize(("values", "said"), [({"L-0": 1.0}, "L-0: unknown"), ({"L-1216C47A": -1.0}, "0 or more")])
def test_a_quota_that_is_none_is_refused_at_the_start(values: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        QuotaApplication(no_moto, values)


def no_moto(environ: Any, start_response: Any) -> list[bytes]:
    raise AssertionError("nothing else is to be asked")


def test_the_documented_quotas_are_those_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "emulated-prices.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:4] == "| L-"]
    assert rows == [[code, quota.name, f"{quota.default:g}", f"{quota.applied:g}"] for code, quota in QUOTAS.items()]
