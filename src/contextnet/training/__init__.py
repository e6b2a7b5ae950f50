"""The learning path: recipe, loss, optimizer, schedule, checkpoint, trainer."""
