"""Bytes into a notebook document of nbformat 4, as lenient as papermill; what the cells mean is not known here."""

from __future__ import annotations

from typing import Any


def parse(body: bytes) -> Any:
    """The notebook in `body`, upgraded to nbformat 4: `cells`, each with cell_type, source, metadata, outputs.

    Not validated against the schema: many notebooks break it in ways that Jupyter and papermill let pass.

    Raises:
        ValueError: it is none; the message says why, without any text of the notebook.
    """
    import nbformat
    from nbformat import reader

    try:
        text = body.decode("utf-8")
        document = nbformat.convert(reader.reads(text), 4)  # type: ignore[no-untyped-call]
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error
    except reader.NotJSONError as error:
        raise ValueError("it is not JSON") from error
    except Exception as error:
        raise ValueError("it is JSON, but without the parts that a notebook has") from error
    if not isinstance(document.get("cells"), list) or not all(_is_cell(cell) for cell in document.cells):
        raise ValueError("it is JSON, but without the parts that a notebook has")
    document.setdefault("metadata", nbformat.from_dict({}))  # type: ignore[no-untyped-call]
    return document


def _is_cell(cell: Any) -> bool:
    if not (isinstance(cell.get("source"), str) and isinstance(cell.get("metadata"), dict)):
        return False
    return cell.get("cell_type") != "code" or isinstance(cell.get("outputs"), list)
