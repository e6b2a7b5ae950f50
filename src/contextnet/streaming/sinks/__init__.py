"""Where results go, each kind behind one protocol."""
