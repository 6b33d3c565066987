"""What a run is: values, rules, and the ports through which the rest is reached.

Nothing here does I/O, knows an AWS document, servox or YAML.
Imports inside the package point down: ports > run | settings > spec > errors.
"""
