"""From evidence to alerts: the alarm line, incidents, storms, silences, feedback, sentences."""
