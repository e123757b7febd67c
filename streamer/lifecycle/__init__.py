"""The life of a model: retraining, trial in the shadow, promotion, hot swap, watch and rollback."""
