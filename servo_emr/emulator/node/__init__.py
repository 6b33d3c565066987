"""The primary node of one cluster: a folder, real processes, the commands that they find, their logs."""
