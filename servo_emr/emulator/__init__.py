"""An EMR endpoint on this machine: clusters and steps driven by one clock, steps really executed.

Closed: nothing here imports another package of servo_emr, and only `servo_emr.cli` starts it. It knows AWS's
documents and states, never ours. Everybody else reaches it over HTTP, as they reach AWS.

    app       the composition root of one emulator process (settings)
    server    HTTP/1.1 on loopback; router: who answers which request
    emr       EMR's wire protocol (operations, launch, answers, shapes, pages, errors)
    admin     clock, calls, state, rows, faults; calls, naming: what was called
    faults    what goes wrong on demand, as data (fault_document, call_faults, phase_faults, alteration);
              faulty_calls: where it meets calls (service_errors)
    region    types, releases, roles, subnets; s3: moto's S3, its conditional writes, log objects
    driver    real time and real processes on one side, the world on the other; clock: W as a function of real time
    world     the clusters: a discrete-event simulation on W, without I/O (lifecycle, records, events, timing,
              durations, mishaps, spot, ids)
    stage     the world's ports; work: its bootstrap actions and steps as processes on nodes
    node      the primary node of one cluster: a scratch folder and processes (process, overlay, shims, spark)
    webhdfs   the buckets as Hadoop's client sees them
"""
