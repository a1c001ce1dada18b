select world.chain('u89', '88689');
