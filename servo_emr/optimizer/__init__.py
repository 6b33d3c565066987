"""The bundled optimizer: finds the cluster on which a job runs cheapest or fastest, in the fewest dollars.

Closed: it speaks servo's protocol over HTTP and imports nothing else of ours.
"""
