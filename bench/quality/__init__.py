"""Detection quality over the production pipeline: labelled synthetic streams, a simulated pump, and
public data sets beside the checkout, where there are any. `python -m bench.quality --help`.
"""
