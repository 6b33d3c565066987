"""The clusters as a discrete-event simulation on the clock W. No documents, no processes, no I/O."""
