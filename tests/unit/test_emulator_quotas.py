"""The emulated Service Quotas: what is answered about EC2 and EMR, and what goes on to others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from servo_emr.emulator.prices.quotas import QUOTAS, QuotaApplication, load_quotas
from servo_emr.emulator.protocol.errors import AwsError
from tests.support.signed import ask


def test_a_quota_has_the_value_that_it_was_given_and_awss_default_beside_it(tmp_path: Path) -> None:
    (tmp_path / "quotas.yaml").write_text("L-1216C47A: 12\n")
    application = QuotaApplication(no_moto, load_quotas(tmp_path / "quotas.yaml"))
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
    answer = ask(QuotaApplication(others, {}), "servicequotas", "ServiceQuotasV20190624.GetServiceQuota", request)
    assert answer == {"Quota": {"Value": 5.0}} and [json.loads(body) for body in asked] == [request]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("L-0: 1", "quota L-0: unknown; known are L-1216C47A"),
        ("L-1216C47A: -1", "quota L-1216C47A: -1; a number of vCPUs"),
        ("L-1216C47A: many", "quota L-1216C47A: 'many'; a number"),
        ("L-1216C47A: yes", "quota L-1216C47A: True; a number"),
        ("L-1216C47A: .inf", "quota L-1216C47A: inf; a number"),
        ("- L-1216C47A", "write a line for each quota"),
        ("", "write a line for each quota"),
        ("{", "not YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_has_no_quotas_is_refused_in_one_line(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "quotas.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        load_quotas(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def no_moto(environ: Any, start_response: Any) -> list[bytes]:
    raise AssertionError("nothing else is to be asked")


def test_the_documented_quotas_are_those_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "emulated-prices.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:4] == "| L-"]
    assert rows == [[code, quota.name, f"{quota.default:g}", f"{quota.applied:g}"] for code, quota in QUOTAS.items()]
