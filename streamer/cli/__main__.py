"""`python -m streamer.cli`."""

from streamer.cli.main import main

main()
