"""What goes wrong on demand, as data: of calls to any service, and in the phases of a cluster's life."""
