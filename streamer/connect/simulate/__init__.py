"""Simulated plants and card payments with known faults."""
