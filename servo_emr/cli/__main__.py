"""`python -m servo_emr.cli` is `servo-emr`."""

from servo_emr.cli.main import run

run()
