"""Helpers shared by the packages of connect: deadlines, pacing, TLS, durable files."""
