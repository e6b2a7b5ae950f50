"""The training recipe, table by table, and what is said of a wrong one."""
