"""A servox connector that measures a Jupyter notebook job on throwaway Amazon EMR clusters.

Only the version lives here, and in no other place: pyproject.toml reads it. Nothing is imported, so that
`import servo_emr` costs nothing and a layer can be used without those above it.
"""

__version__ = "0.1.0"
