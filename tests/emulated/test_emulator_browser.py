"""A real browser on a hostile page, on the same machine as the emulator: it changes nothing and reads nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from playwright.sync_api import Page, sync_playwright

from tests.support.emulator import EmulatorProcess

CHROMIUM = "/usr/bin/chromium"
# `AT` is the emulator as a page may name it. Whatever a page can send without being asked: with and without an Origin.
HOSTILE = """<!doctype html><title>a page</title><body><script>
const at = "AT", said = [];
const plain = {mode: "no-cors", headers: {"Content-Type": "text/plain"}};
async function attempt(name, path, how) {
  try {
    const answer = await fetch(at + path, how);
    said.push([name, answer.type === "opaque" ? "opaque" : answer.status, await answer.text()]);
  } catch (error) { said.push([name, "refused", ""]); }
}
function loaded(kind, path) {
  return new Promise(done => {
    const made = document.createElement(kind);
    made.onload = made.onerror = done;
    made.src = at + path;
    document.body.append(made);
  });
}
(async () => {
  await attempt("post", "/_emulator/clock", {method: "POST", body: '{"advance": 3600}', ...plain});
  const fault = '[{"kind": "stuck", "phase": "step"}]';
  await attempt("faults", "/_emulator/faults", {method: "POST", body: fault, ...plain});
  await attempt("look", "/_emulator/state", {mode: "no-cors"});
  await attempt("read", "/_emulator/state", {});
  await attempt("put", "/acme/key", {method: "PUT", body: "theirs"});
  await attempt("launch", "/", {method: "POST", body: "{}", headers: {"X-Amz-Target": "ElasticMapReduce.RunJobFlow"}});
  await loaded("img", "/?Action=RunInstances&ImageId=ami-1&MinCount=1&MaxCount=1&Version=2016-11-15");
  await loaded("iframe", "/acme/secret");
  await loaded("script", "/_emulator/calls");
  document.title = "done";
  window.said = said;
})();
</script>"""


@contextmanager
def served(page: str) -> Iterator[int]:
    """That page, at whatever path, on a port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Every name below .test is this machine: what DNS rebinding comes to."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--host-resolver-rules=MAP *.test 127.0.0.1"]
        )
        yield browser.new_page()
        browser.close()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    folder = tmp_path_factory.mktemp("data")
    (folder / "secret").write_text("<script>top.theirs = 1</script>")
    with EmulatorProcess(data=[f"s3://acme/={folder}"]) as process:
        yield process


def untouched(emulator: EmulatorProcess) -> tuple[Any, ...]:
    keys = [item["Key"] for item in emulator.client("s3").list_objects_v2(Bucket="acme")["Contents"]]
    instances = emulator.client("ec2").describe_instances()["Reservations"]
    return emulator.now(), emulator.get("faults"), emulator.get("state")["clusters"], keys, instances


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "rebound.test"])
def test_a_page_in_a_real_browser_drives_nothing_and_reads_nothing(
    page: Page, emulator: EmulatorProcess, name: str
) -> None:
    port = emulator.url.rsplit(":", 1)[1]
    before = untouched(emulator)
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status) if f":{port}/" in answer.url else None)
    with served(HOSTILE.replace("AT", f"http://{name}:{port}")) as evil:
        page.goto(f"http://evil.test:{evil}/")
        page.wait_for_function("document.title === 'done'")
        said = page.evaluate("window.said")
    assert untouched(emulator) == before
    assert {status for _, status, _ in said} <= {"refused", "opaque", 403}
    assert {text for _, _, text in said} == {""}, "nothing of an answer is read"
    assert statuses, "the requests did arrive"
    assert set(statuses) == {403}


def test_a_page_at_the_emulators_own_port_under_a_rebound_name_is_refused(
    page: Page, emulator: EmulatorProcess
) -> None:
    port = emulator.url.rsplit(":", 1)[1]
    for path in ("/", "/_emulator/state", "/acme/secret"):
        answer = page.goto(f"http://rebound.test:{port}{path}")
        assert answer is not None
        assert answer.status == 403


def test_a_person_may_type_the_address_of_an_object(page: Page, emulator: EmulatorProcess) -> None:
    answer = page.goto(f"{emulator.url}/_emulator/clock")
    assert answer is not None
    assert answer.status == 200


def test_buckets_in_the_name_of_the_host_are_buckets_all_the_same(emulator: EmulatorProcess) -> None:
    """As boto3 signs and sends them with addressing_style virtual; the name leads here by the Host alone."""
    port = emulator.url.rsplit(":", 1)[1]
    client = boto3.client(
        "s3",
        endpoint_url=f"http://localhost:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "virtual"}),
    )
    url = client.generate_presigned_url("get_object", Params={"Bucket": "acme", "Key": "secret"})
    assert url.startswith(f"http://acme.localhost:{port}/secret?")
    client.close()
    here = url.replace(f"acme.localhost:{port}", f"127.0.0.1:{port}")
    answer = httpx.get(here, headers={"Host": f"acme.localhost:{port}"}, trust_env=False)
    assert (answer.status_code, answer.text) == (200, "<script>top.theirs = 1</script>")
