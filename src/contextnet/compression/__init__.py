"""Making a network smaller: INT8."""
