"""EMR's operations: request documents checked and made into launches, records made into answers. No HTTP, no time."""
