"""Where frames come from, each kind behind one protocol."""
