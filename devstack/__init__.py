"""What a newcomer's machine lacks: a reference core and the means to start the other components."""
