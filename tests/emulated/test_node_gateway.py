"""The WebHDFS gateway over plain HTTP, as Hadoop's client speaks it, in front of moto's S3."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx
import pytest

from tests.support.node import Endpoint, serve

ODD = ["a b", "a+b", "50%", "a%20b", "k=v", "ü é", "日本", "a;b", "a&b?c#d", "'\"()[]{}", "k=2020-01-02 03%3A04"]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serve() as made:
        yield made


class Hadoop:
    """A bucket, seen as Hadoop's client sees it; paths begin with a slash, below the bucket."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.bucket = endpoint, endpoint.make_bucket()
        self.http = httpx.Client(trust_env=False, timeout=60)

    def call(self, method: str, operation: str, path: str, content: Any = None, **parameters: Any) -> httpx.Response:
        query = urlencode({"op": operation, "user.name": "hadoop", **parameters})
        url = f"{self.endpoint.url}/webhdfs/v1/{self.bucket}{quote(path)}?{query}"
        return self.http.request(method, url, content=content)

    def create(self, path: str, content: Any, *, overwrite: bool = False) -> httpx.Response:
        first = self.call("PUT", "CREATE", path, overwrite=str(overwrite).lower(), permission="644")
        if first.status_code != 307:
            return first
        return self.http.put(first.headers["Location"], content=content)

    def names(self, path: str) -> list[tuple[str, str]]:
        listed = self.call("GET", "LISTSTATUS", path).json()["FileStatuses"]["FileStatus"]
        return [(item["pathSuffix"], item["type"]) for item in listed]

    def kind(self, path: str) -> str | None:
        answer = self.call("GET", "GETFILESTATUS", path)
        return answer.json()["FileStatus"]["type"] if answer.is_success else None

    def put(self, *keys: str, body: bytes = b"x") -> None:
        for key in keys:
            self.endpoint.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def keys(self) -> list[str]:
        return self.endpoint.keys(self.bucket)


@pytest.fixture
def hadoop(endpoint: Endpoint) -> Iterator[Hadoop]:
    made = Hadoop(endpoint)
    yield made
    made.http.close()


def error_of(answer: httpx.Response) -> tuple[int, str]:
    remote = answer.json()["RemoteException"]
    assert remote["javaClassName"].endswith(f".{remote['exception']}")
    return answer.status_code, remote["exception"]


def test_a_file_is_created_through_a_redirect_and_is_an_object_at_once(hadoop: Hadoop) -> None:
    first = hadoop.call("PUT", "CREATE", "/d/f.txt")
    assert (first.status_code, hadoop.keys()) == (307, [])
    assert first.headers["Location"].startswith(f"{hadoop.endpoint.url}/webhdfs/v1/{hadoop.bucket}/d/f.txt?")
    second = hadoop.http.put(first.headers["Location"], content=iter([b"one,", b"two"]))  # chunked, as Java sends it
    assert second.status_code == 201
    assert hadoop.endpoint.text(hadoop.bucket, "d/f.txt") == "one,two"


def test_the_status_of_a_file_is_the_objects(hadoop: Hadoop) -> None:
    hadoop.put("d/f.txt", body=b"12345")
    status = hadoop.call("GET", "GETFILESTATUS", "/d/f.txt").json()["FileStatus"]
    modified = hadoop.endpoint.s3.head_object(Bucket=hadoop.bucket, Key="d/f.txt")["LastModified"]
    assert (status["type"], status["length"], status["pathSuffix"]) == ("FILE", 5, "")
    assert status["modificationTime"] == modified.timestamp() * 1000


@pytest.mark.parametrize("name", ODD)
def test_any_name_goes_there_and_back_unchanged(hadoop: Hadoop, name: str) -> None:
    assert hadoop.create(f"/{name}/{name}", name.encode()).status_code == 201
    assert hadoop.keys() == [f"{name}/{name}"]
    assert hadoop.names("/") == [(name, "DIRECTORY")]
    assert hadoop.names(f"/{name}") == [(name, "FILE")]
    assert hadoop.call("GET", "OPEN", f"/{name}/{name}").content == name.encode()
    target = f"/{hadoop.bucket}/moved {name}"
    assert hadoop.call("PUT", "RENAME", f"/{name}", destination=target).json() == {"boolean": True}
    assert hadoop.keys() == [f"moved {name}/{name}"]
    assert hadoop.call("DELETE", "DELETE", f"/moved {name}/{name}").json() == {"boolean": True}
    assert hadoop.keys() == []


def test_letters_that_java_does_not_escape_are_the_same_letters(hadoop: Hadoop) -> None:
    hadoop.put("d/ü é.txt", body=b"found")
    where = urlsplit(hadoop.endpoint.url)
    request = f"GET /webhdfs/v1/{hadoop.bucket}/d/ü%20é.txt?op=OPEN HTTP/1.0\r\nHost: {where.netloc}\r\n\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        connection.sendall(request.encode())
        answer = connection.makefile("rb").read()
    assert answer.endswith(b"\r\n\r\nfound")


@pytest.mark.parametrize(
    ("range_", "content"),
    [
        ({}, b"0123456789"),
        ({"offset": 0}, b"0123456789"),
        ({"offset": 4}, b"456789"),
        ({"offset": 4, "length": 3}, b"456"),
        ({"offset": 8, "length": 100}, b"89"),
        ({"offset": 10}, b""),
        ({"length": 0}, b""),
    ],
)
def test_a_range_of_a_file_is_what_is_sent(hadoop: Hadoop, range_: dict[str, int], content: bytes) -> None:
    hadoop.put("f", body=b"0123456789")
    answer = hadoop.call("GET", "OPEN", "/f", **range_)
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["Content-Length"] == str(len(content))


def test_an_empty_file_can_be_written_and_read(hadoop: Hadoop) -> None:
    assert hadoop.create("/_SUCCESS", b"").status_code == 201
    assert hadoop.call("GET", "OPEN", "/_SUCCESS").content == b""


def test_a_file_larger_than_what_stays_in_memory_passes_whole(hadoop: Hadoop) -> None:
    block = bytes(range(256)) * 4096  # 1 MiB
    assert hadoop.create("/large", (block for _ in range(20))).status_code == 201
    assert hadoop.call("GET", "OPEN", "/large").content == block * 20
    assert hadoop.call("GET", "OPEN", "/large", offset=19 * 2**20 + 1, length=3).content == block[1:4]


def test_a_reader_that_stops_early_leaves_the_gateway_working(hadoop: Hadoop) -> None:
    hadoop.put("large", body=bytes(20 * 2**20))
    url = f"{hadoop.endpoint.url}/webhdfs/v1/{hadoop.bucket}/large?op=OPEN"
    for _ in range(3):
        with hadoop.http.stream("GET", url) as answer:
            assert len(next(answer.iter_raw(1000))) == 1000
    assert hadoop.kind("/large") == "FILE"


def test_an_upload_that_breaks_off_makes_no_object(hadoop: Hadoop) -> None:
    location = hadoop.call("PUT", "CREATE", "/half").headers["Location"]

    def half() -> Iterator[bytes]:
        yield b"the first half"
        raise OSError("the task was killed")

    with pytest.raises(OSError, match="the task was killed"):
        hadoop.http.put(location, content=half())
    assert (hadoop.kind("/half"), hadoop.keys()) == (None, [])


def test_what_exists_is_overwritten_only_on_demand(hadoop: Hadoop) -> None:
    hadoop.put("f", "d/g", body=b"old")
    assert error_of(hadoop.create("/f", b"new")) == (403, "FileAlreadyExistsException")
    assert error_of(hadoop.create("/d", b"new", overwrite=True)) == (403, "FileAlreadyExistsException")
    assert hadoop.create("/f", b"new", overwrite=True).status_code == 201
    assert hadoop.endpoint.text(hadoop.bucket, "f") == "new"


def test_a_listing_has_every_page(hadoop: Hadoop) -> None:
    hadoop.put(*(f"many/{number:04}" for number in range(1005)), "many/sub/x", "manyfold")
    names = hadoop.names("/many")
    assert len(names) == 1006
    assert names[0] == ("0000", "FILE")
    assert names[-1] == ("sub", "DIRECTORY")
    batch = hadoop.call("GET", "LISTSTATUS_BATCH", "/many").json()["DirectoryListing"]
    assert (len(batch["partialListing"]["FileStatuses"]["FileStatus"]), batch["remainingEntries"]) == (1006, 0)


def test_the_listing_of_a_file_is_the_file(hadoop: Hadoop) -> None:
    hadoop.put("d/f")
    assert hadoop.names("/d/f") == [("", "FILE")]


def test_a_folder_with_one_file_of_its_own_name_is_not_taken_for_the_file(hadoop: Hadoop) -> None:
    hadoop.put("d/d")
    assert hadoop.names("/d") == [("d", "FILE")]


def test_a_key_that_ends_with_a_slash_is_an_empty_folder(hadoop: Hadoop) -> None:
    hadoop.put("made/by/console/", body=b"")
    assert (hadoop.kind("/made/by/console"), hadoop.names("/made/by/console")) == ("DIRECTORY", [])


def test_an_empty_folder_is_remembered_and_writes_no_object(hadoop: Hadoop) -> None:
    assert hadoop.call("PUT", "MKDIRS", "/a/b/c").json() == {"boolean": True}
    assert [hadoop.kind(path) for path in ("/a", "/a/b", "/a/b/c", "/a/x")] == ["DIRECTORY"] * 3 + [None]
    assert (hadoop.names("/a"), hadoop.names("/a/b/c")) == ([("b", "DIRECTORY")], [])
    assert hadoop.keys() == []


def test_a_folder_goes_with_its_last_object_when_another_program_deletes_that(hadoop: Hadoop) -> None:
    hadoop.call("PUT", "MKDIRS", "/out/_temporary/0")
    hadoop.create("/out/part-0", b"x")
    hadoop.call("DELETE", "DELETE", "/out/_temporary", recursive="true")
    hadoop.endpoint.s3.delete_object(Bucket=hadoop.bucket, Key="out/part-0")
    assert hadoop.kind("/out") is None


def test_a_folder_stays_when_its_last_file_is_deleted_or_moved_through_the_gateway(hadoop: Hadoop) -> None:
    hadoop.put("a/f", "b/f")
    hadoop.call("DELETE", "DELETE", "/a/f")
    hadoop.call("PUT", "RENAME", "/b/f", destination=f"/{hadoop.bucket}/f")
    assert [hadoop.kind("/a"), hadoop.kind("/b")] == ["DIRECTORY", "DIRECTORY"]
    assert hadoop.keys() == ["f"]


def test_a_folder_cannot_be_made_on_or_below_a_file(hadoop: Hadoop) -> None:
    hadoop.put("f")
    assert error_of(hadoop.call("PUT", "MKDIRS", "/f")) == (403, "FileAlreadyExistsException")
    assert error_of(hadoop.call("PUT", "MKDIRS", "/f/a/b")) == (403, "ParentNotDirectoryException")


def test_renaming_a_folder_moves_all_that_is_below_it(hadoop: Hadoop) -> None:
    hadoop.put(*(f"from/{number}" for number in range(3)), "from/deep/er/f", "fromage")
    hadoop.call("PUT", "MKDIRS", "/from/empty")
    moved = hadoop.call("PUT", "RENAME", "/from", destination=f"/{hadoop.bucket}/x/to")
    assert moved.json() == {"boolean": True}
    assert hadoop.keys() == ["fromage", "x/to/0", "x/to/1", "x/to/2", "x/to/deep/er/f"]
    assert [hadoop.kind("/from"), hadoop.kind("/x/to/empty")] == [None, "DIRECTORY"]


def test_renaming_into_a_folder_that_exists_puts_it_there(hadoop: Hadoop) -> None:
    hadoop.put("f", "d/g")
    assert hadoop.call("PUT", "RENAME", "/f", destination=f"/{hadoop.bucket}/d/").json() == {"boolean": True}
    assert hadoop.keys() == ["d/f", "d/g"]


@pytest.mark.parametrize(
    ("source", "target"), [("/none", "/x"), ("/f", "/g"), ("/f", "/d"), ("/d", "/d/in"), ("/", "/x")]
)
def test_a_rename_that_cannot_be_changes_nothing(hadoop: Hadoop, source: str, target: str) -> None:
    hadoop.put("d/f", "f", "g")
    refused = hadoop.call("PUT", "RENAME", source, destination=f"/{hadoop.bucket}{target}")
    assert refused.json() == {"boolean": False}
    assert hadoop.keys() == ["d/f", "f", "g"]


def test_deleting_a_folder_needs_recursion_unless_it_is_empty(hadoop: Hadoop) -> None:
    hadoop.put("d/e/f", "d/g", "dog")
    hadoop.call("PUT", "MKDIRS", "/empty")
    assert error_of(hadoop.call("DELETE", "DELETE", "/d")) == (403, "PathIsNotEmptyDirectoryException")
    assert hadoop.call("DELETE", "DELETE", "/empty").json() == {"boolean": True}
    assert hadoop.call("DELETE", "DELETE", "/d", recursive="true").json() == {"boolean": True}
    assert hadoop.call("DELETE", "DELETE", "/d", recursive="true").json() == {"boolean": False}
    assert (hadoop.keys(), hadoop.kind("/d"), hadoop.kind("/empty")) == (["dog"], None, None)


def test_a_whole_bucket_is_not_deleted(hadoop: Hadoop) -> None:
    hadoop.put("f")
    assert hadoop.call("DELETE", "DELETE", "/", recursive="true").json() == {"boolean": False}
    assert hadoop.keys() == ["f"]


def test_a_summary_counts_folders_files_and_bytes(hadoop: Hadoop) -> None:
    hadoop.put("d/a", "d/e/b", "d/e/f/c", body=b"123")
    summary = hadoop.call("GET", "GETCONTENTSUMMARY", "/d").json()["ContentSummary"]
    assert (summary["directoryCount"], summary["fileCount"], summary["length"]) == (3, 3, 9)


def test_a_file_is_one_block_and_an_empty_one_none(hadoop: Hadoop) -> None:
    hadoop.put("f", body=b"12345")
    hadoop.put("empty", body=b"")
    located = hadoop.call("GET", "GET_BLOCK_LOCATIONS", "/f", offset=0, length=5).json()["LocatedBlocks"]
    assert [(block["startOffset"], block["block"]["numBytes"]) for block in located["locatedBlocks"]] == [(0, 5)]
    none = hadoop.call("GET", "GET_BLOCK_LOCATIONS", "/empty").json()["LocatedBlocks"]
    assert (none["fileLength"], none["locatedBlocks"]) == (0, [])


@pytest.mark.parametrize(
    ("method", "operation", "path", "error"),
    [
        ("GET", "GETFILESTATUS", "/none", (404, "FileNotFoundException")),
        ("GET", "LISTSTATUS", "/none", (404, "FileNotFoundException")),
        ("GET", "OPEN", "/none", (404, "FileNotFoundException")),
        ("GET", "OPEN", "/d", (404, "FileNotFoundException")),
        ("POST", "APPEND", "/d/f", (400, "UnsupportedOperationException")),
        ("PUT", "SETOWNER", "/d/f", (400, "UnsupportedOperationException")),
        ("PUT", "RENAME", "/d/f", (400, "IllegalArgumentException")),
        ("PUT", "CREATE", "/", (403, "FileAlreadyExistsException")),
    ],
)
def test_a_failure_has_the_class_by_which_java_throws_it_again(
    hadoop: Hadoop, method: str, operation: str, path: str, error: tuple[int, str]
) -> None:
    hadoop.put("d/f")
    assert error_of(hadoop.call(method, operation, path)) == error


def test_an_offset_behind_the_end_is_refused(hadoop: Hadoop) -> None:
    hadoop.put("f", body=b"12345")
    assert error_of(hadoop.call("GET", "OPEN", "/f", offset=6)) == (400, "IllegalArgumentException")
    assert error_of(hadoop.call("GET", "OPEN", "/f", offset="x")) == (400, "IllegalArgumentException")


@pytest.mark.parametrize("method_operation", [("GET", "LISTSTATUS"), ("GET", "GETFILESTATUS"), ("PUT", "MKDIRS")])
def test_a_bucket_that_does_not_exist_is_named(hadoop: Hadoop, method_operation: tuple[str, str]) -> None:
    hadoop.bucket = "no-such-bucket"
    answer = hadoop.call(*method_operation, "/x/y")
    assert error_of(answer) == (404, "FileNotFoundException")
    assert "s3://no-such-bucket" in answer.json()["RemoteException"]["message"]


def test_many_writers_at_once_get_what_they_wrote(hadoop: Hadoop) -> None:
    failures = []

    def work(number: int) -> None:
        body = f"{number}".encode() * 1000
        for turn in range(5):
            made = hadoop.create(f"/out/_temporary/{number}/{turn}", body)
            target = f"/{hadoop.bucket}/out/{number}-{turn}"
            moved = hadoop.call("PUT", "RENAME", f"/out/_temporary/{number}/{turn}", destination=target)
            read = hadoop.call("GET", "OPEN", f"/out/{number}-{turn}")
            if (made.status_code, moved.json(), read.content) != (201, {"boolean": True}, body):
                failures.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(hadoop.keys()) == 30
