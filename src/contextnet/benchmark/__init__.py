"""How fast this machine does what the project is for, measured side by side in one run."""
