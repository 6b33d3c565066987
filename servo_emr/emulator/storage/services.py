"""moto's services behind one door, each answering what is meant for it.

moto finds out anew for every request which of its services a host names, and lists its own folders for it, which takes
as long as the answer to a small question. What a host names does not change.
"""

from __future__ import annotations

import functools
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from servo_emr.emulator.storage.stand_in import stand_in_for_openapi
from servo_emr.emulator.storage.times import write_times_quickly

__all__ = ["MotoServices"]


class MotoServices(DomainDispatcherApplication):
    """The WSGI application of all services that moto has."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        stand_in_for_openapi()  # before somebody asks for CloudFormation
        write_times_quickly()
        self._named = functools.lru_cache(maxsize=256)(super().get_backend_for_host)

    def get_backend_for_host(self, host: str | None) -> Any:
        return self._named(host)
