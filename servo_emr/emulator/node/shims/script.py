"""What bootstrap actions and script-runner.jar run: fetches a script, makes real nodes' paths this one's, becomes it.

Usage: script.py FOLDERS URI [ARGUMENT ...], where FOLDERS is a JSON object: folder of a real node -> folder here.
The script's own first line says what runs it; without one bash does. An interpreter is looked for by its name on the
node's PATH, so that `#!/usr/bin/python3` means the node's Python and not this machine's.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit


def localise(text: str, folders: Mapping[str, str]) -> str:
    """The text with every path that begins with one of the folders moved to its place here.

    Only where a path begins: `s3://bucket/home/hadoop/x` and `/mnt/home/hadoop` keep theirs.
    """
    for real, here in folders.items():
        pattern = rf"(?:(?<![\w./~%+-])|(?<=\bfile://)){re.escape(real)}(?![\w.%+-])"
        text = here.join(re.split(pattern, text))
    return text


def fetch(uri: str) -> bytes:
    """The script's bytes, from s3://bucket/key or a path. A message and exit status 1 when there is none."""
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        try:
            return Path(unquote(parts.path) if parts.scheme else uri).read_bytes()
        except OSError as error:
            sys.exit(f"cannot read the script {uri}: {error.strerror}")
    if parts.scheme not in ("s3", "s3a", "s3n"):
        sys.exit(f"cannot read the script {uri}: it must be an s3:// URI or a path")
    import boto3  # only here: a third of a second, which a local script need not pay
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = uri.split("://", 1)[1].partition("/")
    try:
        body: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"cannot read the script {uri}: {error}")
    return body


def interpreter_of(first_line: str) -> list[str]:
    """The command that runs a script with this first line: the interpreter's bare name, and its options."""
    words = first_line[2:].split() if first_line.startswith("#!") else []
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if word != "-S"]
    return [Path(words[0]).name, *words[1:]] if words else ["bash"]


def main() -> None:
    """Become the script."""
    folders, uri, *arguments = sys.argv[1:]
    text = localise(fetch(uri).decode("utf-8", "surrogateescape"), json.loads(folders))
    path = Path.cwd() / (Path(urlsplit(uri).path).name or "script")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(0o755)
    command = [*interpreter_of(text.split("\n", 1)[0].strip()), str(path), *arguments]
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"cannot run {uri} with {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
