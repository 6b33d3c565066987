"""An EMR endpoint on this machine: clusters and steps driven by one clock, steps really executed.

Closed: nothing here imports another package of servo_emr, and only `servo_emr.cli` starts it. It knows AWS's
documents and states, never ours. Everybody else reaches it over HTTP, as they reach AWS.

    app       the composition root of one emulator process (settings)
    web       HTTP on this machine: who answers which request, the record of calls, the routes under /_emulator
    emr       EMR's operations: documents checked and made into launches, records made into answers
    faults    what goes wrong on demand, as data: calls of any service, phases of any cluster
    prices    the price list, the spot market and its history, service quotas
    node      the primary node of a cluster: a folder, processes, shims, logs
    storage   S3 and the buckets as Hadoop's client sees them
    world     the clusters: a discrete-event simulation on the clock W, without I/O
    protocol  how AWS's services are spoken to: names, shapes, errors
    region    what AWS knows of a region before anything runs in it
"""
