"""The paper's tables made from this project's own runs, with the paper's figures beside them."""
