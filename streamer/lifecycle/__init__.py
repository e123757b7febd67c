"""The life of a model: retraining, shadow run, promotion, hot swap, watch and rollback."""
