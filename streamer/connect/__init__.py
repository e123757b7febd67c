"""Where data comes in and alerts go out. The only place that knows files, sockets and other people's formats."""
