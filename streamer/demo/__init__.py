"""The demonstration: production parts on simulated streams whose faults are known, with a referee
beside them.
"""
