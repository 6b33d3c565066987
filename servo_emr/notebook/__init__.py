"""The notebook as a step of a cluster: what is shipped and run there, and what is read back.

The only package that knows papermill and nbformat, and it imports them inside functions, so that commands which read
no notebook start fast. Pure: bytes in, values out; it knows no AWS document, no servox and no YAML.
`cluster/` holds the files that are copied to a cluster; they import nothing of ours and run under the cluster's Python.
"""
