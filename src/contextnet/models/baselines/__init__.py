"""The networks that ContextNet is compared with, each after its own paper."""
