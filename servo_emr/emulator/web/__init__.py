"""HTTP on this machine: the server, who answers which request, the record of calls, the routes under /_emulator."""
