"""Run records into what people read away from the terminal: flat rows, CSV, one self-contained HTML file.

Works on records that somebody else has read; speaks to no service. Only `page` and `charts` need the `report` extra.
"""
