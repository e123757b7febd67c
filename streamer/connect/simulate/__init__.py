"""Simulated plants and cards with known faults."""
