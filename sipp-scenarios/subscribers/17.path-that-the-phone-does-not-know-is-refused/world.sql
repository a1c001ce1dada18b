select world.chain('u17', '88617');
