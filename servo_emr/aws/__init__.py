"""All that speaks to AWS. `door` is the only importer of the SDK; the other modules know API documents."""
