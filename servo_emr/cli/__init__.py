"""The `servo-emr` command: one module a command group. Terminal output, exit statuses, and nothing of the policy."""
