"""Other tools' cluster definitions as the `emr:` section of servo.yaml, with what could not be carried.

Documents in, documents out: no I/O, and nothing is asked of AWS.
"""

from servo_emr.importing.document import Source, read_source
from servo_emr.importing.draft import Draft, Left
from servo_emr.importing.formats import FORMATS, imported

__all__ = ["FORMATS", "Draft", "Left", "Source", "imported", "read_source"]
